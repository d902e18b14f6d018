from django.apps import AppConfig


class Faults(AppConfig):
    name = "modelstation.tests.faults"
    label = "faults"

    def ready(self):
        from modelstation.tests.faults.work import add_kind

        add_kind()
