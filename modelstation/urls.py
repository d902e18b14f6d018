"""The roof: mounts every app. Pages of an organisation live under /o/<org>/, its programs use
/api/v1/ and /v1/."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from modelstation.site import handbook, pages

handler400 = "modelstation.core.web.handlers.bad_request"
handler404 = "modelstation.core.web.handlers.page_not_found"
handler500 = "modelstation.core.web.handlers.server_error"

admin.site.site_title = "ModelStation operators"
admin.site.site_header = "ModelStation operators, all times in UTC"
admin.site.index_title = "What is on this installation"

api = [
    path("", include("training.builds.api_urls")),
    path("", include("models_app.api.urls")),
    path("", include("distillation.api_urls")),
    path("", include("training.api_urls")),
    path("", include("accounts.api.urls")),
]

urlpatterns = [
    path("", pages.home, name="home"),
    path("health/", pages.health, name="health"),
    path("docs/", handbook.handbook, name="handbook"),
    path("docs/<path:name>/", handbook.handbook, name="handbook_page"),
    path("o/<slug:org>/", pages.dashboard, name="dashboard"),
    path("o/<slug:org>/models/<uuid:model_id>/", pages.model_overview, name="model"),
    path("o/<slug:org>/models/<uuid:model_id>/stages/", pages.model_stages, name="model_stages"),
    path("o/<slug:org>/", include("accounts.urls")),
    path("o/<slug:org>/", include("training.builds.urls")),
    path("o/<slug:org>/", include("models_app.urls")),
    path("o/<slug:org>/", include("distillation.urls")),
    path("o/<slug:org>/", include("training.urls")),
    path("accounts/", include("allauth.urls")),
    path("auth/", include("accounts.api.auth_urls")),
    path("api/v1/", include(api)),
    path("api/schema/", SpectacularAPIView.as_view(), name="api_schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api_schema"), name="api_docs"),
    path("v1/", include("models_app.gateway.urls")),
    path("v1/", include("training.finetuning.api.urls")),
    path("admin/", admin.site.urls),
]
