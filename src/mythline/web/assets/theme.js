// Before anything is drawn: the theme that was chosen here. No module, so that it waits for none.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("mythline-theme");
  } catch {
    // storage is switched off: the system's theme
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
