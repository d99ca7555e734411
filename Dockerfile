# Mythline with PostgreSQL. compose.yaml shows how it is run.
FROM python:3.13-slim

WORKDIR /app
COPY pyproject.toml constraints.txt LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[postgres]' \
    && useradd --system --create-home mythline

USER mythline
WORKDIR /home/mythline
EXPOSE 8000
ENTRYPOINT ["mythline"]
