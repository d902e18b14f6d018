from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "modelstation.core"
    label = "core"
    verbose_name = "Jobs"
