"""Pages of usage and webhooks, mounted under o/<org>/."""

from django.urls import path

from models_app.usage import views as usage_views
from models_app.webhooks import views as webhook_views

urlpatterns = [
    path("usage/", usage_views.usage, name="usage"),
    path("webhooks/", webhook_views.webhook_list, name="webhooks"),
    path("webhooks/<uuid:webhook_id>/", webhook_views.webhook, name="webhook"),
    path("webhooks/<uuid:webhook_id>/change/", webhook_views.webhook_change, name="webhook_change"),
    path("webhooks/<uuid:webhook_id>/delete/", webhook_views.webhook_delete, name="webhook_delete"),
    path("webhooks/<uuid:webhook_id>/rotate/", webhook_views.webhook_rotate, name="webhook_rotate"),
    path("webhooks/<uuid:webhook_id>/test/", webhook_views.webhook_test, name="webhook_test"),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver/",
        webhook_views.webhook_redeliver,
        name="webhook_redeliver",
    ),
]
