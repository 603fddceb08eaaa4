"""Where people meet it: the GitHub Action, run as the runner would, and what other CI services are handed."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import onnx
import pytest
import yaml

from relu_audit import load
from tests.composite import ACTION, ROOT, STEPS, Job, outputs, run_action
from tests.graphs import mlp

SAMPLES = ROOT / "sample_models"
TOOLS = Path(sys.executable).parent
Run = Callable[..., Job]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    for name in ("mlp_dead.onnx", "mlp_healthy.onnx", "digits.npz"):
        shutil.copy(SAMPLES / name, folder)
    return folder


@pytest.fixture
def act(here: Path, tmp_path: Path) -> Run:
    (tmp_path / "temp").mkdir()

    def run(**inputs: str) -> Job:
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        given = {"data": "digits.npz", "install": "false", **given}
        return run_action(given, here, tmp_path / "temp", PYTHONPATH=str(ROOT))

    return run


def tool(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env)


# The action: its description ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-actions", "action.yml"),
        ("gitlab-ci", "docs/jobs/gitlab.yml"),
        ("azure-pipelines", "docs/jobs/azure-pipelines.yml"),
    ],
)
def test_file_is_valid_by_the_service_s_schema(schema: str, file: str) -> None:
    done = tool(TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_action_has_no_known_weakness() -> None:
    done = tool(TOOLS / "zizmor", "--offline", "--no-progress", "--persona=auditor", "action.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("step", [one for one in STEPS if "run" in one], ids=lambda step: step["id"])
def test_script_of_a_step_is_clean_and_quotes_no_input(step: dict[str, Any], tmp_path: Path) -> None:
    assert "${{" not in step["run"]
    (tmp_path / "step.sh").write_text(step["run"], encoding="utf-8")
    done = tool(TOOLS / "shellcheck", "--shell=bash", tmp_path / "step.sh")
    assert done.returncode == 0, done.stdout


def test_other_actions_are_pinned_to_a_commit() -> None:
    uses = re.findall(r"uses: (\S+)(.*)", (ROOT / "action.yml").read_text(encoding="utf-8"))
    assert len(uses) == 3
    for name, remark in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", remark)


def test_what_the_script_reads_is_what_it_is_given() -> None:
    script = (ROOT / "action/run.py").read_text(encoding="utf-8")
    audit = next(step for step in STEPS if step.get("id") == "audit")
    given = {name: text for name, text in audit["env"].items() if name.startswith("INPUT_")}
    for name, text in given.items():
        own = name.removeprefix("INPUT_").lower().replace("_", "-")
        assert text == f"${{{{ inputs.{own} }}}}"
        assert f'"{own}"' in script
    assert all(f"inputs.{name}" in json.dumps(STEPS) for name in ACTION["inputs"])


def test_every_input_and_output_is_documented() -> None:
    inputs = dict(re.findall(r"^\| `([\w-]+)` \| (?:`(.*?)`)? ?\| ", PAGE, re.MULTILINE))
    assert inputs == {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
    assert all(f"| `{name}` |" in PAGE for name in ACTION["outputs"])


def test_workflow_on_the_page_calls_the_action_right(tmp_path: Path) -> None:
    (block,) = [one for one in blocks("yaml") if "jobs" in one]
    (tmp_path / "workflow.yml").write_text(yaml.safe_dump(block, sort_keys=False).replace("true:", "on:", 1))
    done = tool(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", tmp_path / "workflow.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = block["jobs"].values()
    assert set(job["steps"][-1]["with"]) <= set(ACTION["inputs"])


def test_other_examples_on_the_page_are_the_files(here: Path) -> None:
    assert yaml.safe_load((ROOT / "docs/jobs/gitlab.yml").read_text(encoding="utf-8")) in blocks("yaml")
    (config,) = [one for one in blocks("yaml") if "repos" in one]
    (here / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert tool(TOOLS / "pre-commit", "validate-config", here / "config.yaml").returncode == 0
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert config["repos"][0]["hooks"][0]["id"] == hook["id"]


def test_assertion_on_the_page_works(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    (here / "mlp_dead.onnx").rename("model.onnx")
    (here / "digits.npz").rename("calib.npz")
    (source,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - our own page
    names["test_units_are_alive"]()


PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[Any]:
    return [yaml.safe_load(text) for text in re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


# The action: what it does -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "code", "outcome"),
    [
        ({}, 0, "not_set"),
        ({"max_dead": "18.75%"}, 0, "passed"),
        ({"max_dead": "5%"}, 1, "failed"),
        ({"max_dead_layer": "20%"}, 1, "failed"),
        ({"max_rare": "5%"}, 1, "failed"),
        ({"max_dead": "20%", "allow_faulty": "0"}, 0, "passed"),
        ({"max_dead": "20%", "baseline": "absent.json"}, 2, "error"),
        ({"max_dead": "20%", "min_samples": "2000"}, 3, "inconclusive"),
        ({"max_dead": "20%", "min_samples": "2000", "inconclusive": "pass"}, 0, "inconclusive"),
        ({"max_dead": "5%", "args": "--limit 100", "inconclusive": "pass"}, 0, "inconclusive"),
        ({"max_dead": "5"}, 2, "error"),
        ({"max_dead": "5%", "data": "absent.npz", "inconclusive": "pass"}, 2, "error"),
        ({"model": "digits.npz"}, 2, "error"),
        ({"model": "absent.onnx"}, 2, "error"),
    ],
)
def test_job_ends_as_the_gate_says(act: Run, inputs: dict[str, str], code: int, outcome: str) -> None:
    job = act(**{"model": "mlp_dead.onnx", **inputs})
    assert job.code == code, job.log
    assert job.outputs["outcome"] == outcome
    assert any(line.startswith("::error") for line in job.commands) == (code != 0), job.log
    assert "Traceback" not in job.log


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "action"))
    return importlib.import_module("run")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ARGS", "'--limit", "No closing quotation"),
        ("ARGS", "--limit 9 --json my.json", "the output json"),
        ("ARGS", "--json=my.json", "the output json"),
        ("SUMMARY", "true", "GITHUB_STEP_SUMMARY is not set"),
        ("MODEL", "absent/*.onnx", "there is no model 'absent/*.onnx'"),
        ("MODEL", " \n ", "model is empty"),
        ("INCONCLUSIVE", "ignore", "fail or pass"),
        ("SARIF", "yes\n::error::x", "true or false"),
    ],
)
def test_an_input_that_cannot_be_is_refused(
    script: Any, here: Path, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    switches = {f"INPUT_{one}": "false" for one in ("SUMMARY", "ANNOTATIONS", "SARIF")}
    inputs = {"INPUT_MODEL": str(here / "mlp_dead.onnx"), "INPUT_INCONCLUSIVE": "fail", **switches}
    assert script.main({"GITHUB_OUTPUT": str(here / "out"), **inputs, f"INPUT_{name}": value}) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::error title=relu-audit::")
    assert said in line
    assert outputs((here / "out").read_text(encoding="utf-8")) == {"outcome": "error"}


def test_outside_a_job_it_says_what_to_run_instead(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main({}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "GITHUB_OUTPUT is not set" in err
    assert "relu-audit each" in err


def test_no_more_annotations_than_github_shows_for_a_step(act: Run, here: Path) -> None:
    for number in range(11):
        shutil.copy(here / "mlp_dead.onnx", here / f"copy{number}.onnx")
    job = act(model="copy*.onnx", max_dead="5%")
    assert job.code == 1
    kinds = [line[2:].partition(" ")[0] for line in job.commands]
    assert (kinds.count("error"), kinds.count("notice")) == (10, 10)
    assert sum("2 more; the other reports list them" in line for line in job.commands) == 2
    assert sum("failed" in line for line in job.commands if line.startswith("::notice")) == 9


def test_annotations_of_several_models_share_the_room_of_one_step(script: Any, here: Path) -> None:
    lost = [script.Told(Path(f"{number}.onnx"), 2, None, "error: lost") for number in range(12)]
    lines = script.step_commands(lost, lenient=False)
    assert len(lines) == 10
    assert lines[-1].endswith("::3 more; the other reports list them")
    assert len(script.step_commands(lost[:10], lenient=False)) == 10


def test_a_model_whose_name_is_no_text_is_reported_like_any_other(act: Run, here: Path) -> None:
    name = os.fsdecode(b"q\xff.onnx")
    shutil.copy(here / "mlp_dead.onnx", here / name)
    job = act(model="q*.onnx", max_dead="5%", sarif="true")
    assert job.code == 1, job.log
    (log,) = [json.loads(path.read_text()) for path in Path(job.outputs["reports"]).rglob("*.sarif")]
    assert log["runs"][0]["artifacts"][0]["location"]["uri"] == "q%FF.onnx"
    (here / name).write_bytes(b"")
    assert act(model="q*.onnx", sarif="true").outputs["outcome"] == "error"


def test_a_failed_job_shows_why_everywhere(act: Run) -> None:
    job = act(model="mlp_dead.onnx", max_dead="5%", sarif="true", artifact="dead units")
    assert "gate: FAILED" in job.log
    assert "❌ **Failed**" in job.summary
    assert "| `/relu5/Relu_output_0` |" in job.summary
    assert any("18.75" in line for line in job.commands)
    assert job.outputs["dead"] == "120"
    assert job.outputs["dead-fraction"] == "0.1875"
    found = load(job.outputs["json"])
    assert found.dead == 120
    reports = Path(job.outputs["reports"])
    assert {path.name for path in reports.rglob("*.*")} == {
        "mlp_dead.json",
        "mlp_dead.html",
        "mlp_dead.xml",
        "mlp_dead.sarif",
    }
    assert job.used["Upload the reports"] == {"name": "dead units", "path": str(reports)}
    assert job.used["Upload findings to code scanning"] == {"sarif_file": str(reports / "sarif")}


def test_nothing_is_shown_or_uploaded_that_was_not_asked_for(act: Run) -> None:
    job = act(model="mlp_dead.onnx", max_dead="5%", summary="false", annotations="false")
    assert job.summary == ""
    assert job.commands == []
    assert job.used == {}
    assert job.code == 1


def test_an_error_is_annotated_and_in_the_summary(act: Run) -> None:
    job = act(model="mlp_dead.onnx", data="absent_{stem}.npz", artifact="reports", sarif="true")
    assert len(job.commands) == 1
    assert "absent_mlp_dead.npz" in job.commands[0]
    assert "❌ **Error**" in job.summary
    assert "data-not-found" in job.summary
    assert job.used == {}


def test_several_models_are_told_apart_and_the_worst_decides(act: Run, here: Path) -> None:
    (here / "sub").mkdir()
    shutil.copy(here / "mlp_healthy.onnx", here / "sub/mlp_dead.onnx")
    job = act(model="mlp_*.onnx\nsub/**/*.onnx\n", max_dead="5%", sarif="true")
    assert job.code == 1
    names = [Path(path).name for path in job.outputs["json"].splitlines()]
    assert names == ["mlp_dead.json", "mlp_healthy.json", "mlp_dead-2.json"]
    assert job.outputs["dead"] == "128"
    assert job.outputs["dead-fraction"] == repr(128 / 1920)
    assert [job.summary.count(word) for word in ("**Failed**", "**Passed**")] == [1, 2]
    logs = [json.loads(path.read_text()) for path in sorted(Path(job.outputs["reports"]).rglob("*.sarif"))]
    runs = [run for log in logs for run in log["runs"]]
    places = ["sub/mlp_dead.onnx", "mlp_dead.onnx", "mlp_healthy.onnx"]
    assert [run["automationDetails"]["id"] for run in runs] == [f"relu-audit/{place}/" for place in places]
    assert [run["artifacts"][0]["location"]["uri"] for run in runs] == places
    located = runs[1]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert located == {"index": 0, "uri": "mlp_dead.onnx"}


def test_a_model_that_cannot_be_audited_outweighs_and_keeps_no_other_from_its_report(act: Run, here: Path) -> None:
    (here / "broken.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    job = act(model="*.onnx", max_dead="5%")
    assert job.code == 2
    assert job.outputs["outcome"] == "error"
    assert len(job.outputs["json"].splitlines()) == 2
    assert "**Error**" in job.summary
    assert "**Failed**" in job.summary


def test_configuration_is_looked_for_in_the_working_directory(act: Run, here: Path) -> None:
    folder = here / "sub dir"
    folder.mkdir()
    (folder / "relu-audit.toml").write_text('data = "../digits.npz"\nmax-dead = "5%"\n', encoding="utf-8")
    job = act(model="../mlp_dead.onnx", data="", working_directory="sub dir")
    assert job.code == 1
    assert job.outputs["outcome"] == "failed"


def test_inputs_are_never_read_by_a_shell(act: Run, here: Path) -> None:
    evil = "$(touch pwned)`touch pwned`\"; touch pwned; '"
    shutil.copy(here / "mlp_dead.onnx", here / f"{evil}.onnx")
    job = act(
        model=f"{evil}.onnx", data=evil, max_dead=evil, max_dead_layer=evil, min_samples=evil, args="$(touch pwned)"
    )
    assert job.code == 2
    for name in ("inconclusive", "summary", "annotations", "sarif"):
        assert act(**{"model": "mlp_dead.onnx", name: evil}).code == 2
    assert not (here / "pwned").exists()


def test_an_input_is_no_other_option_than_its_own(act: Run, here: Path) -> None:
    shutil.copy(here / "mlp_dead.onnx", here / "--json=pwned")
    for name in ("data", "max_dead"):
        assert act(**{"model": "mlp_dead.onnx", name: "--json=pwned"}).code == 2
    assert act(model="--json=pwned").outputs["dead"] == "120"
    assert not (here / "pwned").exists()


@pytest.mark.parametrize("annotations", ["true", "false"])
def test_names_give_the_runner_no_commands_and_no_outputs(act: Run, here: Path, annotations: str) -> None:
    model = mlp(dead={0: (1,)})
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["::error::forged\n::add-mask::x\noutcome=passed" if name == "r0" else name for name in names]
    onnx.save(model, here / "::error::a\njson=evil%0A[1].onnx")
    loader = "import numpy\ndef batches():\n    print('::error::forged')\n    print('##[error]forged')\n"
    loader += (
        "    for i in range(300): yield {'x': numpy.random.default_rng(i).standard_normal((1, 6), numpy.float32)}\n"
    )
    (here / "loader.py").write_text(loader, encoding="utf-8")
    job = act(model=":*.onnx", data="loader.py:batches", max_dead="0%", annotations=annotations)
    assert job.code == 1
    assert job.outputs["outcome"] == "failed"
    assert re.fullmatch(r"_error_a_json_evil_0A_1_\.json", Path(job.outputs["json"]).name)
    assert not any(line.startswith(("::error::", "::add-mask")) or "##[" in line for line in job.commands)
    assert bool(job.commands) == (annotations == "true")
    assert "::error::forged" in job.log


def test_a_crash_of_the_runtime_is_reported(act: Run, here: Path) -> None:
    (here / "loader.py").write_text("import os\ndef batches():\n    os.kill(os.getpid(), 11)\n", encoding="utf-8")
    job = act(model="mlp_dead.onnx", data="loader.py:batches")
    assert job.code == 70
    assert job.outputs["outcome"] == "error"
    assert "it ended with code -11" in job.summary


def test_summary_stays_below_what_github_takes(script: Any, here: Path) -> None:
    path = here / "summary.md"
    for text in ("a" * 900_000, "x" * 900_000, "y" * 900_000, "z"):
        script.append(path, text)
    content = path.read_text(encoding="utf-8")
    assert len(content) < 1 << 20
    assert content.count("More models") == 1
    assert not set("xyz") & set(content)
    assert content.endswith(script.NO_ROOM)


@pytest.mark.slow
def test_action_installs_itself(here: Path, tmp_path: Path) -> None:
    (tmp_path / "temp").mkdir()
    job = run_action(
        {"model": "mlp_dead.onnx", "data": "digits.npz", "max-dead": "5%"},
        here,
        tmp_path / "temp",
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))},
    )
    assert job.code == 1, job.log
    assert job.used == {"Set up Python": {"python-version": "3.13", "update-environment": "false"}}
    assert (tmp_path / "temp/relu-audit-environment/bin/relu-audit").exists()
    assert not (ROOT / "build").exists()


# Other services -----------------------------------------------------------------------------------------------------


def scripts_of(service: str) -> list[str]:
    """The command lines of a service's example, without those that install."""
    text = (ROOT / "docs/jobs" / service).read_text(encoding="utf-8")
    if service == "Jenkinsfile":
        lines = re.findall(r"sh '(.*)'", text)
    elif service == "gitlab.yml":
        job = yaml.safe_load(text)["relu-audit"]
        lines = [*job["before_script"], *job["script"]]
    else:
        lines = [step["script"] for step in yaml.safe_load(text)["steps"] if "script" in step]
    assert all(line.startswith(("pip install ", "python -m venv ")) for line in lines[:-1])
    return lines[-1:]


@pytest.mark.parametrize("service", ["gitlab.yml", "azure-pipelines.yml", "Jenkinsfile"])
def test_example_leaves_a_test_case_per_layer(service: str, here: Path) -> None:
    (here / "mlp_dead.onnx").rename(here / "model.onnx")
    (here / "digits.npz").rename(here / "calib.npz")
    (here / ".venv").symlink_to(TOOLS.parent)
    variables = {"MODEL": "model.onnx", "DATA": "calib.npz", "RELU_AUDIT_MAX_DEAD": "5%"}
    for line in scripts_of(service):
        done = tool("bash", "-euo", "pipefail", "-c", line, cwd=here, **variables)
        assert done.returncode == 1, done.stderr
    cases = ElementTree.fromstring((here / "relu-audit.xml").read_bytes()).findall(".//testcase")  # noqa: S314 - ours
    assert len(cases) == 6
    assert (
        "relu-audit.xml"
        in (ROOT / "docs/jobs" / service).read_text(encoding="utf-8").split("--junit relu-audit.xml")[1]
    )
    assert (here / "relu-audit.html").exists()


def test_gitlab_example_sets_the_variables_it_uses() -> None:
    job = yaml.safe_load((ROOT / "docs/jobs/gitlab.yml").read_text(encoding="utf-8"))["relu-audit"]
    assert {"MODEL", "DATA", "RELU_AUDIT_MAX_DEAD"} <= set(job["variables"])
    assert job["artifacts"]["reports"]["junit"] in job["script"][0]
    assert all(path in job["script"][0] for path in job["artifacts"]["paths"])


# pre-commit ---------------------------------------------------------------------------------------------------------


def test_hook_is_a_command_of_ours_on_models_alone() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert tool("python", "-m", "relu_audit", *hook["entry"].split()[1:], "--help").returncode == 0
    assert re.search(hook["files"], "models/a.onnx")
    assert not re.search(hook["files"], "models/a.onnx.data")


@pytest.mark.slow
def test_hook_stops_a_commit_that_adds_a_dead_model(here: Path, tmp_path: Path) -> None:
    pre_commit = TOOLS / "pre-commit"
    assert tool(pre_commit, "validate-manifest", ROOT / ".pre-commit-hooks.yaml").returncode == 0
    home = {"PRE_COMMIT_HOME": str(tmp_path / "home"), "PYTHONPATH": ""}
    identity = {f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*words: str, cwd: Path = here) -> subprocess.CompletedProcess[str]:
        return tool("git", *words, cwd=cwd, **home, **identity)

    hooks = tmp_path / "relu-audit"  # what lies here, whether it is committed or not
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if name.startswith(("relu_audit/", "pyproject", "README", "LICENSE", ".pre-commit")) and (ROOT / name).exists():
            (hooks / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, hooks / name)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        assert git(*words, cwd=hooks).returncode == 0
    revision = git("rev-parse", "HEAD", cwd=hooks).stdout.strip()
    hook = {"id": "relu-audit", "args": ["--data", "{folder}/digits.npz", "--max-dead", "5%"]}
    config = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [hook]}]}
    (here / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    dead = (here / "mlp_dead.onnx").rename(tmp_path / "mlp_dead.onnx")
    git("init", "-q")
    assert tool(pre_commit, "install", cwd=here, **home).returncode == 0
    git("add", "-A")
    alive = git("commit", "-m", "a healthy model")
    assert alive.returncode == 0, alive.stdout + alive.stderr
    dead.rename(here / "mlp_dead.onnx")
    git("add", "-A")
    refused = git("commit", "-m", "a dead one")
    assert refused.returncode == 1
    assert "gate: FAILED" in refused.stdout + refused.stderr
    assert "mlp_healthy" not in refused.stdout + refused.stderr
    (here / "notes.txt").write_text("no model", encoding="utf-8")
    git("reset", "-q", "mlp_dead.onnx")
    git("add", "notes.txt")
    skipped = git("commit", "-m", "no model")
    assert "no files to check" in skipped.stdout + skipped.stderr


# The image ----------------------------------------------------------------------------------------------------------

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def test_image_is_described_without_a_known_mistake() -> None:
    done = tool(TOOLS / "hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^USER \d+:\d+$", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["relu-audit"]' in DOCKERFILE


def copied() -> list[tuple[str, str]]:
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
    return [(source, line.split()[-1]) for line in lines for source in line.split()[:-1]]


def test_what_is_copied_into_the_image_is_let_through() -> None:
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    assert {source for source, _ in copied()} == let_through
    assert all((ROOT / source).exists() for source, _ in copied())


@pytest.mark.slow
def test_image_s_commands_make_a_program_that_runs(here: Path, tmp_path: Path) -> None:
    """There is nothing here to build images with, so the commands are run where they do no harm."""
    build, place = tmp_path / "build", tmp_path / "opt/relu-audit"
    build.mkdir()
    for source, target in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, build / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, build / target)
    venv.create(tmp_path / "base", with_pip=True)
    (command,) = re.findall(r"^RUN (.*)$", DOCKERFILE, re.MULTILINE)
    base = f"{tmp_path / 'base/bin'}{os.pathsep}{os.environ['PATH']}"
    done = tool("sh", "-c", command.replace("/opt/relu-audit", str(place)), cwd=build, PATH=base, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert not (place / "bin/pip").exists()
    program = place / "bin/relu-audit"
    done = tool(program, "mlp_dead.onnx", "--data", "digits.npz", "--max-dead", "5%", cwd=here, PYTHONPATH="")
    assert done.returncode == 1, done.stderr
    assert "gate: FAILED" in done.stdout
