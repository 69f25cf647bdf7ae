"""What a file of block sizes may hold: all of it comes back, and nothing else gets in."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.config_files import FILE, GPU, KAF, KEY, PROVENANCE, TEXT

from triton_acts.tuning.config import Config
from triton_acts.tuning.store import ConfigFile, ConfigFileError, NewerSchemaError, parse, render

MIB = 1 << 20


def changed(change):
    """The text of a sound file after a change of its data."""
    data = json.loads(TEXT)
    change(data)
    return json.dumps(data)


def test_the_text_is_as_committed_whatever_the_order_of_the_content():
    assert render(FILE) == TEXT
    turned = ConfigFile(
        dict(reversed(GPU.items())),
        dict(reversed(PROVENANCE.items())),
        {KAF: FILE.entries[KAF], KEY: {9: Config(4), 24: Config(8)}},
    )
    assert render(turned) == TEXT


def test_a_text_reads_as_what_was_written():
    assert parse(TEXT) == FILE
    other = ConfigFile(GPU | {"warp_size": 64}, PROVENANCE, {KEY: {0: Config(1, warp_size=64)}})
    assert parse(render(other)) == other
    assert parse(render(other)).entries[KEY][0].warp_size == 64


def power(top):
    return st.integers(0, top).map(lambda n: 1 << n)


SCALAR = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=32) | st.text()
)
FINITE = SCALAR.filter(lambda v: not isinstance(v, float) or abs(v) < float("inf"))
PART = st.text("AZaz09_.<=-", min_size=1, max_size=8)


@st.composite
def files(draw):
    warp_size = draw(st.sampled_from([32, 64]))
    configs = st.builds(Config, power(6), power(4), power(3), st.just(warp_size))
    keys = st.lists(PART, min_size=4, max_size=7).map("/".join)
    entries = st.dictionaries(keys, st.dictionaries(st.integers(0, 62), configs, max_size=3))
    newer = st.dictionaries(st.text(), FINITE, max_size=3)
    kind = st.sampled_from(["measured", "common-best", "model"])
    gpu = {"slug": draw(st.text(min_size=1)), "vendor": "amd", "warp_size": warp_size}
    provenance = {"kind": draw(kind), "run_ids": draw(st.lists(st.text()))}
    return ConfigFile(
        {k: v for k, v in draw(newer).items() if k not in GPU} | gpu,
        {k: v for k, v in draw(newer).items() if k not in PROVENANCE} | provenance,
        draw(entries),
    )


@settings(max_examples=60, deadline=None)
@given(files())
def test_every_sound_file_survives_the_round_trip(file):
    text = render(file)
    assert parse(text) == file
    assert render(parse(text)) == text


def test_what_a_newer_version_may_add_is_kept():
    def add(data):
        data["entries"]["new_op/jvp/float8_e5m2/any/D<=20/x/y"] = {"62": {**SMALL, "unroll": 1}}
        data["gpu"]["partition"] = "2g"
        data["provenance"]["cache"] = True

    file = parse(changed(add))
    assert file.entries["new_op/jvp/float8_e5m2/any/D<=20/x/y"] == {62: Config(1, 1)}
    assert parse(render(file)) == file


def test_what_a_group_of_gpus_does_not_share_may_be_missing():
    gpu = {"slug": "vendor-nvidia", "vendor": "nvidia", "warp_size": 32}
    file = ConfigFile(gpu, {"kind": "common-best", "run_ids": []}, {KEY: {}})
    assert parse(render(file)) == file


SMALL = {"elements_per_thread": 1, "num_warps": 1}


def entry(**changes):
    """The change that makes an entry's config another."""
    return lambda data: data["entries"].update({KEY: {"24": SMALL | changes}})


def put(part, **changes):
    return lambda data: data[part].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (entry(elements_per_thread=3), f"entries['{KEY}']['24']: Config: elements_per_thread must"),
        (entry(num_warps=1 << 30), "num_warps=1073741824 of 32 lanes are"),
        (entry(num_warps=1 << 14270), "']['24']: "),  # too long for str() once multiplied
        (entry(num_warps=0), "num_warps must be a power of two, got 0"),
        (entry(num_warps=-4), "num_warps must be a power of two, got -4"),
        (entry(num_warps=True), "num_warps is True, allowed is a power of two"),
        (entry(num_warps=4.0), "num_warps is 4.0, allowed"),
        (entry(num_warps="4"), "num_warps is '4', allowed"),
        (entry(num_warps=[4]), "num_warps is [4], allowed"),
        (entry(unroll=None), "unroll is missing or null, allowed"),
        (entry(unroll=1 << 20), "elements a program"),
        (entry(num_stages=3), "allowed is an object of elements_per_thread, num_warps"),
        (entry(warp_size=64), "allowed is an object of elements_per_thread, num_warps"),
        (put("entries", **{KEY: {"24": {"num_warps": 4}}}), "['24'] is {'num_warps': 4}, allowed"),
        (put("entries", **{KEY: {"24": 8}}), "['24'] is 8, allowed is an object"),
        (put("entries", **{KEY: [1]}), f"entries['{KEY}'] is [1], allowed is an object"),
        *[
            (put("entries", **{KEY: {size: SMALL}}), f"a size of entries['{KEY}'] is {size!r}")
            for size in ("63", "-1", "024", "2.0", "1e1", " 24", "24\n", "", "٢", "9" * 99)
        ],
        *[
            (put("entries", **{key: {}}), f"a key of entries is {key!r}, allowed is op/direction/")
            for key in (
                "",
                "a/b/c",
                "a/b/c/",
                "/a/b/c",
                "a//b/c/d",
                "a/b/c/d ",
                "a/b/c/d\n",
                "é/b/c/d",
            )
        ],
        (put("gpu", slug=""), "gpu.slug is '', allowed is a text"),
        (put("gpu", vendor=None), "gpu.vendor is missing or null"),
        (put("gpu", arch=90), "gpu.arch is 90"),
        (put("gpu", arch=["x" * 9999] * 99), "gpu.arch is ['xxx"),
        (put("gpu", sm_count=True), "gpu.sm_count is True, allowed is a positive integer"),
        (put("gpu", sm_count=0), "gpu.sm_count is 0"),
        (put("gpu", mem_gib=-1.0), "gpu.mem_gib is -1.0"),
        (put("gpu", mem_gib=True), "gpu.mem_gib is True"),
        (put("gpu", warp_size=48), "gpu.warp_size is 48, allowed is a power of two up to 1024"),
        (put("gpu", warp_size=2048), "gpu.warp_size is 2048"),
        (put("gpu", warp_size=32.0), "gpu.warp_size is 32.0"),
        (put("gpu", extra=[1]), "gpu.'extra' is [1], allowed is a text, a finite number"),
        (put("provenance", kind="guessed"), "allowed is measured or common-best or model"),
        (put("provenance", kind=["measured"]), "provenance.kind is ['measured']"),
        (put("provenance", run_ids="r1"), "provenance.run_ids is 'r1', allowed is a list of texts"),
        (put("provenance", run_ids=["r1", 2]), "provenance.run_ids is ['r1', 2]"),
        (put("provenance", triton=3.7), "provenance.triton is 3.7"),
        (lambda data: data.update(gpu=[]), "gpu is [], allowed is an object"),
        (lambda data: data.update(provenance="x"), "provenance is 'x', allowed is an object"),
        (lambda data: data.update(entries=None), "entries is missing or null"),
        (lambda data: data.pop("gpu"), "['entries', 'provenance', 'schema'], allowed is exactly"),
        (lambda data: data.update(more=1), "'more', 'provenance', 'schema'], allowed is exactly"),
        (lambda data: data.pop("schema"), "schema is missing or null, allowed is an integer"),
        *[
            (
                lambda data, schema=schema: data.update(schema=schema),
                f"schema is {schema!r}, allowed",
            )
            for schema in (True, 0, -1, 1.0, "1", [1])
        ],
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(change, message):
    with pytest.raises(ConfigFileError) as caught:
        parse(changed(change))
    assert message in str(caught.value)
    assert type(caught.value) is ConfigFileError
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        (TEXT[:-20], "no JSON"),
        (TEXT + "{}", "no JSON"),
        ("\ufeff" + TEXT, "no JSON"),
        ("[]", "the file is [], allowed is an object"),
        ("null", "the file is missing or null"),
        (TEXT.replace("139.8", "NaN"), "a number is 'NaN', allowed is a finite one"),
        (TEXT.replace("139.8", "-Infinity"), "a number is '-Infinity'"),
        (TEXT.replace("139.8", "1e999"), "gpu.mem_gib is inf"),
        (TEXT.replace('"sm_count"', '"new": 1e999, "sm_count"'), "gpu.'new' is inf"),
        (TEXT.replace('"9"', '"24"'), "the name '24' is given twice"),
        (TEXT.replace('"sm_count"', '"slug"'), "the name 'slug' is given twice"),
        (TEXT.replace("132", "1" * 5000), "no JSON"),
        ("[" * 200_000, "no JSON"),
        ('{"a":' * 100_000, "no JSON"),
        (TEXT + " " * MIB, "characters, allowed are 1048576"),
    ],
)
def test_a_hostile_text_is_refused(text, message):
    with pytest.raises(ConfigFileError, match=r"^.{0,999}$") as caught:
        parse(text)
    assert message in str(caught.value)


def test_no_depth_of_nesting_gets_through():
    """Not even one that the parser takes and repr may not."""
    for depth in range(1, 1100):
        deep = "[" * depth + "]" * depth
        for text in (TEXT.replace('"r1"', deep), TEXT.replace("8, ", f"{deep}, ")):
            with pytest.raises(ConfigFileError):
                parse(text)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    st.lists(st.integers(0, 9), max_size=4),
)
def test_any_value_anywhere_is_read_or_refused(value, where):
    data = json.loads(TEXT)
    spot = data
    for n in where:
        name = sorted(spot)[n % len(spot)]
        if not isinstance(spot[name], dict):
            break
        spot = spot[name]
    spot[name if where else "entries"] = value
    try:
        file = parse(json.dumps(data))
    except ConfigFileError:
        return
    assert parse(render(file)) == file


def test_a_newer_schema_is_told_apart_whatever_else_it_holds():
    with pytest.raises(NewerSchemaError, match="schema is 2, allowed is at most 1: update "):
        parse('{"schema": 2, "rows": [[]]}')


def test_a_config_of_another_warp_size_is_not_written():
    with pytest.raises(
        ConfigFileError, match="warp_size of a config is 64, allowed is the GPU's 32"
    ):
        render(ConfigFile(GPU, PROVENANCE, {KEY: {1: Config(1, warp_size=64)}}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_does_not_have_is_not_written(value):
    with pytest.raises((ValueError, TypeError), match="JSON"):
        render(ConfigFile(GPU, PROVENANCE | {"new": value}, {}))
