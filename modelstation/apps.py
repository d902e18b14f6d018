from django.apps import AppConfig


class ModelStationConfig(AppConfig):
    name = "modelstation"

    def ready(self) -> None:
        from modelstation.core.jobs import kinds
        from modelstation.site.job_kinds import JOB_KINDS

        kinds.install(JOB_KINDS)
