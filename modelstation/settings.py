"""All settings, in sections. Every difference between machines is an environment variable."""

import re
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from modelstation.core.database import database_url
from modelstation.core.secret_files import kept_secret

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

# --- Where things lie ---------------------------------------------------------------------------
VAR_DIR = Path(env.str("MODELSTATION_VAR", default=f"{BASE_DIR}/var")).resolve()
MODELS_DIR = Path(env.str("MODELSTATION_MODELS_DIR", default=f"{BASE_DIR}/var/models")).resolve()
ARTIFACTS_DIR = VAR_DIR / "artifacts"
UPLOADS_DIR = VAR_DIR / "uploads"
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", default=2 << 30)

# --- Safety ---------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
DEVELOPMENT = env.bool("MODELSTATION_DEVELOPMENT", default=True)


def own_key(name: str) -> Any:
    """In development each installation makes its keys; in production there is no default."""
    return kept_secret(VAR_DIR / name) if DEVELOPMENT else environ.Env.NOTSET


SECRET_KEY = env.str("SECRET_KEY", default=own_key("secret-key"))
# The first encrypts stored secrets, all decrypt them. Apart from SECRET_KEY, which may change.
_own = [own_key("field-encryption-key")] if DEVELOPMENT else environ.Env.NOTSET
FIELD_ENCRYPTION_KEYS = env.list("FIELD_ENCRYPTION_KEYS", default=_own)
_good = [key for key in FIELD_ENCRYPTION_KEYS if len(key) >= 32 and key != SECRET_KEY]
if not _good or _good != FIELD_ENCRYPTION_KEYS:
    raise ImproperlyConfigured(
        "FIELD_ENCRYPTION_KEYS needs one or more keys of at least 32 random characters, separated "
        "by commas; none of them may be SECRET_KEY."
    )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=not DEVELOPMENT)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = "Lax"
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=0)
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
    # The admin and the API documentation bring inline styles of their own.
    "EXCLUDE_URL_PREFIXES": ["/admin/", "/api/docs/"],
}

# --- Applications ---------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_q",
    "csp",
    "modelstation",
    "modelstation.core",
    "accounts",
    "models_app",
    "distillation",
    "training",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "modelstation.core.web.middleware.UserFacingErrorMiddleware",
]
ROOT_URLCONF = "modelstation.urls"
WSGI_APPLICATION = "modelstation.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.organization",
            ],
            "builtins": ["modelstation.core.templatetags.ui"],
        },
    }
]
FORM_RENDERER = "modelstation.core.web.forms.PageFormRenderer"

# --- Database -------------------------------------------------------------------------------------
DATABASES = {"default": environ.Env.db_url_config(database_url(VAR_DIR / "postgres"))}
DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
_DATABASE_CACHE = "django.core.cache.backends.db.DatabaseCache"
CACHES = {"default": {"BACKEND": _DATABASE_CACHE, "LOCATION": "django_cache"}}

# --- Accounts -------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("Argon2", "PBKDF2")
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword")
]
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
_verification = "optional" if DEVELOPMENT else "mandatory"
ACCOUNT_EMAIL_VERIFICATION = env.str("ACCOUNT_EMAIL_VERIFICATION", default=_verification)
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {"signup": "accounts.forms.SignupForm"}
ACCOUNT_LOGOUT_ON_GET = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
# What links in e-mails begin with: where the site's forms are sent from, else this machine.
_OWN_URL = f"http://127.0.0.1:{env.str('PORT', default='8000')}"
PUBLIC_URL = env.str("PUBLIC_URL", default=next(iter(CSRF_TRUSTED_ORIGINS), _OWN_URL)).rstrip("/")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="ModelStation <noreply@localhost>")

# --- API ------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.TokenAuthentication",
        "accounts.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "modelstation.core.web.api.NewestFirstPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["modelstation.core.web.parsers.BodyParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "modelstation.core.web.api.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ModelStation API",
    "VERSION": "1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "modelstation.core.web.api.add_error_responses",
    ],
    "ENUM_NAME_OVERRIDES": {
        "RoleEnum": "accounts.models.Role",
        "JobStateEnum": "modelstation.core.models.Job.State",
        "VersionStateEnum": "models_app.models.ModelVersion.State",
        "WebhookEventEnum": "models_app.webhooks.rows.WebhookEvent",
        "ChatRoleEnum": "models_app.gateway.requests.ROLES",
        "DatasetStateEnum": "distillation.models.DatasetVersion.State",
        "SourceStateEnum": "distillation.models.SourceDataset.State",
        "CorrectionStateEnum": "distillation.models.CandidateRow.State",
        "ImportStateEnum": "distillation.models.ImportRun.State",
        "TeacherKindEnum": "distillation.teachers.rows.Teacher.Kind",
    },
}

# --- Jobs: the Job row is the truth, the queue carries wakeups -----------------------------------
_WEEK = 7 * 24 * 3600  # redelivery is the reaper's work, never the broker's
_CLUSTER = {
    "workers": 1, "queue_limit": 1, "bulk": 1, "max_attempts": 1, "ack_failures": True,
    "save_limit": -1, "catch_up": False, "timeout": _WEEK - 60, "retry": _WEEK, "poll": 0.5,
    "guard_cycle": 0.5, "recycle": 50,
}  # fmt: skip
_BROKER = "modelstation.core.jobs.workers.UnhurriedBroker"
Q_CLUSTER = {
    "name": "default",
    "orm": "default",
    "broker_class": env.str("QUEUE_BROKER", default=_BROKER),
    "label": "Queue",
    **_CLUSTER,
    "ALT_CLUSTERS": {"distil": dict(_CLUSTER), "gpu": {**_CLUSTER, "recycle": 1}},
}
LEASE_SECONDS = env.float("LEASE_SECONDS", default=60)
HEARTBEAT_SECONDS = env.float("HEARTBEAT_SECONDS", default=10)
REAP_SECONDS = env.float("REAP_SECONDS", default=30)
HUNG_SECONDS = env.float("HUNG_SECONDS", default=180)  # without an answer to a canary
BACKOFF_SECONDS = env.float("BACKOFF_SECONDS", default=10)  # after a crash; twice as long each time
NO_PROGRESS_SECONDS = env.float("NO_PROGRESS_SECONDS", default=1800)
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=60)  # for a checkpoint, when a worker is stopped
# How many jobs of one organisation run at once on each queue, over all its workers.
ORG_JOBS_AT_ONCE = {"default": 4, "distil": 2, "gpu": 2}
ORG_JOBS_AT_ONCE |= env.dict("ORG_JOBS_AT_ONCE", cast={"value": int}, default={})
# A stream of events holds one of a web process' threads (the Procfile starts it with 8).
EVENT_STREAMS_PER_PROCESS = env.int("EVENT_STREAMS_PER_PROCESS", default=4)
EVENT_STREAMS_PER_ORGANIZATION = env.int("EVENT_STREAMS_PER_ORGANIZATION", default=2)

# --- Evaluation -----------------------------------------------------------------------------------
# Ask base and tuned 62 general questions at each evaluation, to see what tuning made it forget.
EVALUATION_PROBES = env.bool("EVALUATION_PROBES", default=True)

# --- Exports --------------------------------------------------------------------------------------
# Signs what is handed out: its holder can sign as this installation.
_own_signing_key = kept_secret(VAR_DIR / "export-signing-key")
EXPORT_SIGNING_KEY = env.str("EXPORT_SIGNING_KEY", default=_own_signing_key)
EXPORT_DAYS = env.int("EXPORT_DAYS", default=7)  # then the file goes
EXPORT_LINK_HOURS = env.float("EXPORT_LINK_HOURS", default=24)
# Who sends their files. Empty: a web process, of which each download holds a thread. A location
# such as /artifacts/: nginx, by X-Accel-Redirect. "x-sendfile": Apache or lighttpd.
EXPORT_SENDER = env.str("EXPORT_SENDER", default="")
if not re.fullmatch(r"|x-sendfile|/.+/", EXPORT_SENDER):
    raise ImproperlyConfigured("EXPORT_SENDER is x-sendfile, or a location such as /artifacts/.")

# --- Model server ---------------------------------------------------------------------------------
MODEL_SERVER_URL = env.str("MODEL_SERVER_URL", default="http://127.0.0.1:8711")
MODEL_SERVER_KEY = env.str("MODEL_SERVER_KEY", default=own_key("model-server-key"))
# Set: answers come from vLLM on GPUs; the model server then only embeds.
VLLM_URL = env.str("VLLM_URL", default="")
VLLM_KEY = env.str("VLLM_KEY", default="")
VLLM_MAX_ADAPTERS = env.int("VLLM_MAX_ADAPTERS", default=32)

# --- What is let through. 0: no limit; the admin sets others for one organisation ----------------
REQUESTS_PER_MINUTE_PER_TOKEN = env.int("REQUESTS_PER_MINUTE_PER_TOKEN", default=0)
REQUESTS_PER_MINUTE_PER_ORGANIZATION = env.int("REQUESTS_PER_MINUTE_PER_ORGANIZATION", default=0)
TOKENS_PER_DAY_PER_ORGANIZATION = env.int("TOKENS_PER_DAY_PER_ORGANIZATION", default=0)
# Webhooks may go to this machine and its network: for installations that serve one house.
WEBHOOK_ALLOW_PRIVATE = env.bool("WEBHOOK_ALLOW_PRIVATE", default=False)

# --- Teachers: one that does not answer for so long fails its run; the rows so far are kept ------
TEACHER_OUTAGE_SECONDS = env.int("TEACHER_OUTAGE_SECONDS", default=900)

# --- The hub that datasets are pushed to, with each organisation's own token, and searched --------
HF_ENDPOINT = env.str("HF_ENDPOINT", default="https://huggingface.co").rstrip("/")

# Organisations may look for data on the hub, and import it: the installation then calls the hub.
HUB_SEARCH = env.bool("HUB_SEARCH", default=False)

# --- Files, language, logs ------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
_PLAIN_FILES = "django.contrib.staticfiles.storage.StaticFilesStorage"
_PACKED_FILES = "whitenoise.storage.CompressedManifestStaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _PLAIN_FILES if DEVELOPMENT else _PACKED_FILES},
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEVELOPMENT
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
    "loggers": {"modelstation": {"level": "INFO"}},
}
