"""Commands as somebody meets them who has never used them: help to read, sentences for mistakes."""

import pytest
from django.core.management import CommandError, call_command, load_command_class

from modelstation.management.commands import up

OURS = {
    "build_model": "modelstation",
    "check_queue": "modelstation",
    "demo": "modelstation",
    "fetch_base": "modelstation",
    "index_corpus": "distillation",
    "reseal": "modelstation",
    "run_worker": "modelstation",
    "seed": "distillation",
    "setup": "modelstation",
    "stop_database": "modelstation",
    "up": "modelstation",
    "watch": "modelstation",
}


def help_of(name):
    return load_command_class(OURS[name], name).create_parser("manage.py", name).format_help()


@pytest.mark.parametrize("name", OURS)
def test_help_names_ours_and_not_of_djangos_options(name):
    text = help_of(name)
    assert len(text.split("\n\n")[1]) > 20
    for option in ("--settings", "--pythonpath", "--traceback", "--no-color", "--verbosity"):
        assert option not in text


def test_examples_in_help_keep_their_lines():
    assert "\n    manage.py watch acme/bank-intents  " in help_of("watch")
    assert "\n    manage.py seed starter\n" in help_of("seed")


@pytest.mark.parametrize("port", ["many", "0", "-1", "65536", "", "8000.5", "٣"])
def test_what_is_no_port_is_refused_before_anything_is_started(port):
    with pytest.raises(CommandError, match="PORT is a number from 1 to 65535"):
        up._refuse_taken("PORT", port)


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_of_no_rows_loads_none(limit):
    """And not all of them."""
    with pytest.raises(CommandError, match="--limit is a number from 1 on"):
        call_command("seed", "starter", limit=limit)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("options", [{"memory": "much"}, {"workers": -1}])
def test_what_postgres_does_not_take_is_refused(options):
    with pytest.raises(CommandError, match="Write --memory 2GB --workers 2"):
        call_command("index_corpus", **options)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "content", "said"),
    [
        ({"requirement": "@{file}"}, b"\xff\xfe", "is not UTF-8"),
        ({"requirement": "@{folder}"}, b"", "cannot be read from"),
        ({"requirement": "x" * 30, "intent_edits": "{file}"}, b"[]", "must be one JSON object"),
        ({"requirement": "x" * 30, "intent_edits": "{file}"}, b"{", "cannot be read from"),
    ],
)
def test_files_that_cannot_be_used_are_refused(org, tmp_path, options, content, said):
    file = tmp_path / "given"
    file.write_bytes(content)
    given = {key: value.format(file=file, folder=tmp_path) for key, value in options.items()}
    command = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    with pytest.raises(CommandError, match=said):
        call_command("build_model", *command, org=org.slug)
