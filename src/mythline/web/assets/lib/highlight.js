// Colours for code: comments, strings, numbers, names that a language keeps. Not a parser: what it
// doesn't know is plain text.

const KEPT = new Set(
  (
    "abstract and as assert async await bool break case catch char class const continue def default " +
    "defer del delete do done double elif else enum esac except export extends extern fi final finally " +
    "float fn for from func function global go if impl implements import in instanceof int interface " +
    "is lambda let long loop match mod mut namespace new nonlocal not null of or package pass private " +
    "protected pub public raise return self short static struct super switch then this throw trait try " +
    "type typeof union unsafe use using var void volatile where while with yield " +
    "True False None true false undefined nil " +
    "select insert update into values table create drop alter join left right inner outer on group " +
    "order by having limit set begin commit primary key references"
  ).split(" "),
);
const HASHED = /^(?:py|python|sh|bash|zsh|shell|console|yaml|yml|toml|ruby|rb|r|make|makefile|dockerfile|ini|conf)$/;
const DASHED = /^(?:sql|lua|haskell|hs)$/;
const PLAIN = /^(?:text|txt|plain|output|log)$/;
const LONGEST = 60_000;

const STRING = /"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|`(?:\\[^]|[^`\\])*`?|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?/;
const NUMBER = /\b(?:0[xob][\da-f_]+|\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?)\b/;
const NAME = /[A-Za-z_$][\w$]*/;

/** @param {string} language */
function grammar(language) {
  const comment = HASHED.test(language)
    ? /#[^\n]*/
    : DASHED.test(language)
      ? /--[^\n]*|\/\*[^]*?(?:\*\/|$)/
      : /\/\/[^\n]*|\/\*[^]*?(?:\*\/|$)/;
  const all = [comment, STRING, NUMBER, NAME].map((each) => `(${each.source})`).join("|");
  return new RegExp(all, "gi");
}

/** @param {string} text @param {string} kind */
function mark(text, kind) {
  const span = document.createElement("span");
  span.className = `c-${kind}`;
  span.textContent = text;
  return span;
}

/**
 * Colour the text of an element.
 * @param {Element} element
 * @param {string} language
 */
export function highlight(element, language) {
  const text = element.textContent ?? "";
  if (text.length > LONGEST || PLAIN.test(language)) return;
  if (language === "diff" || language === "patch") {
    element.replaceChildren(...diff(text));
    return;
  }
  /** @type {(Node | string)[]} */
  const made = [];
  let from = 0;
  for (const found of text.matchAll(grammar(language))) {
    const [all, comment, string, digits] = found;
    const end = found.index + all.length;
    const after = text.slice(end, end + 20);
    let kind = "";
    if (comment) kind = "comment";
    else if (string) kind = /^\s*:/.test(after) ? "key" : "string";
    else if (digits) kind = "number";
    else if (KEPT.has(all) || (language === "sql" && KEPT.has(all.toLowerCase()))) kind = "word";
    else if (/^\s*\(/.test(after)) kind = "call";
    if (!kind) continue;
    made.push(text.slice(from, found.index), mark(all, kind));
    from = end;
  }
  made.push(text.slice(from));
  element.replaceChildren(...made);
}

/** @param {string} text */
function diff(text) {
  return text.split(/(?<=\n)/).map((line) => {
    if (line.startsWith("+")) return mark(line, "added");
    if (line.startsWith("-")) return mark(line, "removed");
    return line.startsWith("@@") ? mark(line, "comment") : line;
  });
}
