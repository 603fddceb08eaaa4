"""Cases: which files there are, and what the command line is given. A kind and a number make always the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from tests.fuzzing import fields, inputs, surgery
from tests.fuzzing.seeds import Seed, corpus, seeds

REPORTS = ("--json", "--html", "--csv", "--junit", "--sarif", "--markdown")


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        name: Its kind and number.
        files: What there is, by name.
        arguments: What the command line is given.
        outputs: The files that it is to write.
        environment: Variables.
    """

    name: str
    files: Mapping[str, bytes]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def draw(kind: str, number: int) -> Case:
    """The case of a kind with a number."""
    rng = Random(f"{kind} {number}")  # noqa: S311
    return KINDS[kind](f"{kind}-{number}", rng)


def _of_model(name: str, model: bytes, seed: Seed, rng: Random) -> Case:
    """A command with a mutated model."""
    command = rng.choice(("audit", "audit", "audit", "sites", "prune", "annotate", "both"))
    files = {"m.onnx": model, "d.npz": seed.npz()}
    data = rng.choice(("d.npz", "d.npz", "random:5"))
    if command == "sites":
        return Case(name, files, ("sites", "m.onnx", "--json", "o.json"), ("o.json",))
    run = ("--data", data, "--threads", "1")
    if command == "prune":
        own = ("-o", "o.onnx", "--json", "o.json", "--html", "o.html", "--no-latency", "--align", "1")
        return Case(name, files, ("prune", "m.onnx", *run, *own), ("o.onnx", "o.json", "o.html"))
    outputs = {option: f"o{i}" for i, option in enumerate(rng.sample(REPORTS, 2))}
    if command == "annotate":
        outputs["--annotate"] = "o.onnx"
    if command == "both":
        outputs["--prune"] = "p.onnx"
    given = [word for pair in outputs.items() for word in pair]
    more = ("--no-latency",) if command == "both" else ()
    return Case(name, files, ("m.onnx", *run, *given, *more, "--max-dead", "90%"), (*outputs.values(),))


def _fields(name: str, rng: Random) -> Case:
    seed = rng.choice(seeds())
    model = seed.proto()
    for _ in range(rng.choice((1, 1, 2, 3))):
        fields.mutate(model, rng)
    return _of_model(name, model.SerializeToString(), seed, rng)


def _bytes(name: str, rng: Random) -> Case:
    seed = rng.choice(seeds())
    return _of_model(name, fields.damaged(seed.model, rng), seed, rng)


def _surgery(name: str, rng: Random) -> Case:
    seed = rng.choice(seeds())
    return _of_model(name, _operated(seed, rng), seed, rng)


def _operated(seed: Seed, rng: Random) -> bytes:
    model = seed.proto()
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        surgery.mutate(model, rng)
    return model.SerializeToString()


def _real(name: str, rng: Random) -> Case:
    """A real model, operated on or with changed fields; a made one where the corpus is absent."""
    seed = rng.choice(corpus())
    if rng.random() < 0.7:
        return _of_model(name, _operated(seed, rng), seed, rng)
    model = seed.proto()
    fields.mutate(model, rng)
    return _of_model(name, model.SerializeToString(), seed, rng)


def _data(name: str, rng: Random) -> Case:
    seed = rng.choice(seeds())
    files, way = {"m.onnx": seed.model}, rng.randrange(4)
    given = rng.choice([*seed.data.values()])
    if way == 0:
        files[data := "d.npz"] = inputs.npz(seed.data, rng)
    elif way == 1:
        files[data := "d.npy"] = inputs.npy(inputs.array(given, rng), rng)
    elif way == 2:
        data = "folder"
        for i in range(rng.randrange(4)):
            files[f"folder/{i}.npy"] = inputs.npy(
                inputs.array(given[:1], rng) if rng.random() < 0.3 else given[:1], rng
            )
        files[f"folder/{rng.choice(('x.txt', 'b.npz', '.hidden', 'input_0.pb', 'c.NPY'))}"] = inputs.npz(seed.data, rng)
    else:
        files["load.py"], data, files["m.onnx"] = inputs.loader(rng).encode(), "load.py:feeds", seeds()[0].model
    more = rng.choice(((), (), (), ("--samples", "feeds"), ("--limit", "3"), ("--batch-size", "2")))
    arguments = ("m.onnx", "--data", data, "--threads", "1", "--json", "o.json", "--html", "o.html", *more)
    return Case(name, files, arguments, ("o.json", "o.html"))


def _config(name: str, rng: Random) -> Case:
    text, seed = inputs.toml(rng), seeds()[0]
    where, head = rng.choice((("relu-audit.toml", b""), ("pyproject.toml", b"[tool.relu-audit]\n")))
    files = {where: head + text, "m.onnx": seed.model, "d.npz": seed.npz()}
    return Case(name, files, ("m.onnx", "--data", "d.npz", "--threads", "1", "--json", "o.json"), ("o.json",))


def _options(name: str, rng: Random) -> Case:
    seed = rng.choice(seeds())
    files = {"m.onnx": seed.model, "d.npz": seed.npz()}
    given = inputs.options(rng)
    if rng.random() < 0.2:
        key = rng.choice(inputs.SETTINGS).replace("-", "_").upper()
        environment = {f"RELU_AUDIT_{key}": rng.choice(inputs.VALUES).replace("\x00", "")}
        return Case(name, files, ("m.onnx", "--data", "d.npz", "--json", "o.json"), ("o.json",), environment)
    command = rng.choice(((), (), ("prune",), ("each",)))
    own = ("-o", "o.onnx", "--no-latency") if command == ("prune",) else ("--html", "o.html")
    return Case(name, files, (*command, "m.onnx", "--data", "d.npz", *own, *given), own[1:2])


def _audit(name: str, rng: Random) -> Case:
    files, way = {"a.json": inputs.audit(rng), "m.onnx": seeds()[0].model, "d.npz": seeds()[0].npz()}, rng.randrange(6)
    if way == 0:
        return Case(
            name, {**files, "b.json": inputs.audit(rng)}, ("compare", "a.json", "b.json", "--json", "o"), ("o",)
        )
    if way == 1:
        arguments = ("m.onnx", "--data", "d.npz", "--baseline", "a.json", "--json", "o", "--threads", "1")
        return Case(name, files, arguments, ("o",))
    if way == 2:
        return Case(name, files, ("prune", "m.onnx", "--audit", "a.json", "-o", "o", "--no-latency"), ("o",))
    outputs = {option: f"o{i}" for i, option in enumerate(rng.sample(REPORTS[1:], 3))}
    return Case(name, files, ("report", "a.json", *(w for pair in outputs.items() for w in pair)), (*outputs.values(),))


KINDS: Mapping[str, Callable[[str, Random], Case]] = {
    "fields": _fields,
    "bytes": _bytes,
    "surgery": _surgery,
    "real": _real,
    "data": _data,
    "config": _config,
    "options": _options,
    "audit": _audit,
}
