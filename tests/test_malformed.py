"""Everything a user may hand over by mistake or in malice: one clear line and code 2, or a
documented answer; never a traceback.

In-process, so that an exception that is not caught fails the test with its own traceback.
"""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from simulations import cli
from tests.conftest import plain_config

HEAD = b"model_a,model_b,winner\n"
VOTE = b"x,y,model_a\n"
VOTE_OF_U = b"x,y,model_a,u\n"
Make = Callable[[Path], object]


def raw(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def table(**columns: Any) -> Make:
    return lambda path: pq.write_table(pa.table(columns), path)


def lines(*rows: object) -> Make:
    return lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def document(content: object) -> Make:
    return lambda path: path.write_text(json.dumps(content))


def truncated(make: Make) -> Make:
    def write(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[:-20])

    return write


def zipped(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("votes.csv", HEAD + b"x,y,tie\n" * (size // 8))
    return buffer.getvalue()


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit code, what was printed, and the one line of error (empty if there is none)."""
    code = cli.main(arguments)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    said = printed.err.splitlines()
    assert len(said) == (code != 0), said
    return code, printed.out, said[0] if said else ""


COLUMNS = {"model_a": ["x", "y"], "model_b": ["y", "x"], "winner": ["model_a", "tie"]}
VOTES: dict[str, tuple[str, Make, str]] = {
    "no such file": ("v.csv", lambda path: None, "no such file"),
    "a folder": ("v.csv", lambda path: path.mkdir(), "cannot be read"),
    "nothing in it": ("v.csv", raw(b""), "is empty"),
    "a header alone": ("v.csv", raw(HEAD), "no row is a vote"),
    "an unknown ending": ("v.txt", raw(HEAD + VOTE), "must be .csv, .jsonl, .json or .parquet"),
    "a gzip bomb named csv": (
        "v.csv",
        raw(gzip.compress(HEAD + b"x,y,tie\n" * 2_000_000)),
        "is compressed (gzip)",
    ),
    "a zip bomb named csv": ("v.csv", raw(zipped(20_000_000)), "is compressed (zip)"),
    "a zip bomb named jsonl": ("v.jsonl", raw(zipped(1000)), "is compressed (zip)"),
    "a truncated parquet": ("v.parquet", truncated(table(**COLUMNS)), "not readable as parquet"),
    "text named parquet": ("v.parquet", raw(HEAD + VOTE), "not readable as parquet"),
    "no winner column": ("v.csv", raw(b"model_a,model_b\nx,y\n"), "has no column 'winner'"),
    "a column twice": (
        "v.csv",
        raw(b"model_a,model_b,winner,winner\nx,y,tie,tie\n"),
        "column 'winner' is there twice",
    ),
    "a column twice in parquet": (
        "v.parquet",
        lambda path: pq.write_table(
            pa.Table.from_arrays(
                [pa.array(["x"])] * 4, names=["model_a", "model_b", "winner", "winner"]
            ),
            path,
        ),
        "column 'winner' is there twice",
    ),
    "a header of a megabyte": ("v.csv", raw(b"z" * 1_000_000 + HEAD), "not readable as csv"),
    "utf-16": ("v.csv", raw((HEAD + VOTE).decode().encode("utf-16")), "is UTF-16"),
    "a quote that is never closed": (
        "v.csv",
        raw(b"note," + HEAD + b'"a,x,y,tie\n' + b"b,x,y,tie\n" * 9),
        "odd number of double quotes",
    ),
    "bytes that are no UTF-8 in parquet": (
        "v.parquet",
        table(model_a=["x"], model_b=pa.array([b"\xff"]).view(pa.string()), winner=["tie"]),
        "not readable as parquet",
    ),
    "a column of texts for model_a": (
        "v.csv",
        raw(HEAD + b"".join(b"text %d,y,tie\n" % i for i in range(3000))),
        "names 3,001 models",
    ),
    "weights beyond all bounds": (
        "v.csv",
        raw(b"model_a,model_b,winner,weight\nx,y,tie,1e300\n"),
        "weight not a number from 1e-9 to 1e9",
    ),
    "only self-battles": ("v.csv", raw(HEAD + b"x,x,tie\n" * 3), "row 1: a model against itself"),
    "only unknown winners": (
        "v.csv",
        raw(HEAD + b"x,y,above\n"),
        "row 1: winner 'above', which is not model_a, model_b, tie",
    ),
    "only NaN for models": (
        "v.parquet",
        table(model_a=[float("nan")], model_b=["y"], winner=["tie"]),
        "row 1: without model_a",
    ),
    "lists for models": (
        "v.parquet",
        table(model_a=[["x"]], model_b=[["x"]], winner=["tie"]),
        "a model against itself",
    ),
    "numbers for winners": (
        "v.parquet",
        table(model_a=["x"], model_b=["y"], winner=[1]),
        "winner '1', which is not model_a",
    ),
    "only weights that are none": (
        "v.csv",
        raw(b"model_a,model_b,winner,weight\nx,y,tie,nan\n"),
        "weight not a number from 1e-9 to 1e9",
    ),
    "only ragged rows": ("v.csv", raw(HEAD + b"x,y\n"), "has 2 columns instead of 3"),
    "binary": ("v.csv", raw(bytes(range(1, 256)) * 50), "v.csv: "),
    "an object for a list": ("v.json", document({"model_a": "x"}), "holds dict"),
    "a deep nest": ("v.json", raw(b"[" * 100_000), "not JSON"),
    "no line is JSON": ("v.jsonl", raw(b"x\ny\n"), "no line is a JSON object"),
    "only numbers": ("v.jsonl", raw(b"1\n2\n"), "no line is a JSON object"),
}


@pytest.mark.parametrize("case", VOTES)
def test_votes_that_cannot_be_rated(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make, expected = VOTES[case]
    make(tmp_path / name)
    code, _, line = outcome(["rate", str(tmp_path / name)], capsys)
    assert code == 2
    assert str(tmp_path / name) in line
    assert expected in line


ROWS: dict[str, tuple[str, Make, str]] = {
    "latin-1 in one row": (
        "v.csv",
        raw(HEAD + VOTE * 3 + b"caf\xe9,y,tie\n"),
        "1 is not UTF-8 (first: row 4)",
    ),
    "latin-1 in a ragged row": (
        "v.csv",
        raw(HEAD + VOTE * 3 + b"caf\xe9,y\n"),
        "1 has 2 columns instead of 3 (first: row 4)",
    ),
    "latin-1 beside utf-8": (
        "v.csv",
        raw(HEAD + "caf\u00e9,y,tie\n".encode() + b"caf\xe9,y,tie\n"),
        "caf\u00e9",
    ),
    "latin-1 in one line": (
        "v.jsonl",
        raw(b'{"model_a":"x","model_b":"y","winner":"tie"}\n{"model_a":"\xe9"}\n'),
        "1 is not UTF-8",
    ),
    "one ragged row": (
        "v.csv",
        raw(HEAD + VOTE + b"x,y,tie,more\n" + VOTE),
        "1 has 4 columns instead of 3 (first: row 2)",
    ),
    "a byte-order mark and latin-1": (
        "v.csv",
        raw(b"\xef\xbb\xbf" + HEAD + VOTE + b"caf\xe9,y,tie\n"),
        "1 is not UTF-8 (first: row 2)",
    ),
    "names that look like markup": ("v.csv", raw(HEAD + b"gpt[bold],x[/y],tie\n"), "gpt[bold]"),
    "a category that no row has": (
        "v.parquet",
        table(
            model_a=pa.DictionaryArray.from_arrays([0, 0], ["x", "ghost"]),
            model_b=["y", "y"],
            winner=["model_a", "model_b"],
        ),
        "2 votes, 2 models",
    ),
    "a byte-order mark": ("v.csv", raw(b"\xef\xbb\xbf" + HEAD + VOTE), "1 votes, 2 models"),
    "windows line ends": ("v.csv", raw((HEAD + VOTE).replace(b"\n", b"\r\n")), "1 votes, 2 models"),
    "a null in one row": (
        "v.parquet",
        table(model_a=["x", None], model_b=["y", "y"], winner=["tie", "tie"]),
        "1 without model_a (first: row 2)",
    ),
    "an infinite weight": (
        "v.csv",
        raw(b"model_a,model_b,winner,weight\nx,y,tie,inf\nx,y,tie,-1\nx,y,tie,\n"),
        "2 weight not a number from 1e-9 to 1e9",
    ),
    "a number among lines": (
        "v.jsonl",
        lines({"model_a": "x", "model_b": "y", "winner": "tie"}, 7),
        "1 is not an object (first: row 2)",
    ),
    "half a surrogate pair": (
        "v.jsonl",
        raw(
            b'{"model_a":"x","model_b":"y","winner":"tie"}\n{"model_a":"\\ud83d","model_b":"y","winner":"tie"}\n'
        ),
        "1 holds text that is not Unicode (first: row 2)",
    ),
    "a name of ten megabytes": (
        "v.csv",
        raw(HEAD + VOTE + b"z" * 10_000_000 + b",y,tie\n"),
        "2 votes, 3 models",
    ),
    "a million ties": (
        "v.csv",
        raw(HEAD + b"x,y,tie\ny,z,tie\n" * 500_000),
        "1,000,000 votes, 3 models",
    ),
    "types that differ by row": (
        "v.jsonl",
        lines(
            {"model_a": 1, "model_b": "y", "winner": "tie"},
            {"model_a": "1", "model_b": ["y"], "winner": "model_b"},
        ),
        "2 votes, 3 models",
    ),
    "a quote too many, in a name": (
        "v.csv",
        raw(HEAD + b'x,y,tie\n"x,y,tie\ny,x,tie\ny,x,"tie\nx,y,model_a\n'),
        "1 has 1 columns instead of 3 and runs over several lines; a double quote before it",
    ),
    "quotes that hold rows": (
        "v.csv",
        raw(
            b"model_a,model_b,winner,user_id\n" + VOTE_OF_U + b'x,y,tie,"u\n' + VOTE_OF_U + b'v"\n'
        ),
        "1 holds lines that look like rows of the table; a double quote before it may be one too",
    ),
    "texts of several lines": (
        "v.csv",
        raw(HEAD[:-1] + b',prompt\nx,y,tie,"a,b,c,d\nand, so, on, then"\n'),
        "1 votes, 2 models",
    ),
    "the same vote twice is two votes": ("v.csv", raw(HEAD + VOTE * 2), "2 votes, 2 models"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_that_are_no_votes_cost_only_themselves(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make, expected = ROWS[case]
    make(tmp_path / name)
    code, printed, line = outcome(["rate", str(tmp_path / name)], capsys)
    assert code == 0, line
    assert expected in printed


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--anchor", "x"], "not of the form MODEL=RATING"),
        (["--anchor", "x=nan"], "not of the form MODEL=RATING"),
        (["--anchor", "q=1000"], "'q' is in no vote; models are x, y"),
        (["--cluster", "user"], "the votes have no column user_id or judge"),
        (["--style"], "has no column 'response_a'"),
        (["--style", "--intervals", "bootstrap"], "not with --style"),
        (["--cluster", "prompt"], "all votes have the same prompt_id"),
        (["--out", "{votes}"], "is the file of votes itself"),
        (["--out", "board.txt"], "must be .csv, .jsonl or .parquet"),
        (["--out", "/proc/none/board.csv"], "cannot be written"),
    ],
)
def test_options_of_rate(
    options: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v.csv").write_bytes(b"model_a,model_b,winner,prompt_id\n" + b"x,y,model_a,1\n" * 3)
    options = [option.format(votes=tmp_path / "v.csv") for option in options]
    code, _, line = outcome(["rate", str(tmp_path / "v.csv"), *options], capsys)
    assert code == 2
    assert expected in line


def answers(prompts: int = 6, models: tuple[str, ...] = ("x", "y", "z"), **columns: Any) -> Make:
    """A file of responses, complete but for the columns given; None takes a column out."""
    content = {
        "prompt": [f"prompt {p}" for p in range(prompts) for _ in models],
        "model": [model for _ in range(prompts) for model in models],
        "response": [f"response {p} {model}" for p in range(prompts) for model in models],
        **columns,
    }
    return table(**{name: column for name, column in content.items() if column is not None})


RESPONSES: dict[str, tuple[Make, dict[str, Any], str]] = {
    "no such file": (lambda path: None, {}, "no such file"),
    "a truncated parquet": (truncated(answers()), {}, "not readable as parquet"),
    "no response column": (answers(response=None), {}, "has no column 'response'"),
    "no rows": (answers(prompts=0), {}, "holds no response"),
    "null responses alone": (answers(response=pa.nulls(18, pa.string())), {}, "holds no response"),
    "a prompt without text": (answers(prompt=[" "] * 18), {}, "row 1: has no prompt or no model"),
    "a null model": (answers(model=["x", "y", None] * 6), {}, "row 3: has no prompt or no model"),
    "a model answers twice": (
        answers(model=["x", "y", "y"] * 6),
        {},
        "row 3: a second response of 'y' to the prompt 'prompt 0'",
    ),
    "one model alone": (answers(models=("x",)), {}, "at least 2 are needed, not 1"),
    "too few prompts": (
        answers(prompts=4),
        {},
        "4 prompts have a recorded response of every contestant, at least 5 are needed",
    ),
    "no prompt in common": (
        answers(prompt=[f"p{i}" for i in range(18)]),
        {},
        "0 prompts have a recorded response of every contestant",
    ),
    "names that become equal": (answers(models=("a b", "a  b")), {}, "'a b' is named twice"),
    "an unknown arena_name": (
        answers(arena_name=["gpt-99"] * 18),
        {},
        "'gpt-99' is not in the Chatbot Arena table",
    ),
    "a contestant it lacks": (
        answers(),
        {"contestants": [{"name": "x", "model": "r"}, {"name": "q", "model": "r"}]},
        "contestants.1: 'q' is no model of",
    ),
    "built-in prompts": (
        answers(),
        {"prompts": {"source": "builtin"}},
        "prompts.source: must be recorded",
    ),
    "recorded prompts without a recording": (
        answers(),
        {"models": plain_config()["models"], "contestants": plain_config()["contestants"]},
        "prompts.source: must be recorded when a contestant is, and only then",
    ),
}


@pytest.mark.parametrize("case", RESPONSES)
def test_responses_that_cannot_be_judged(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, changes, expected = RESPONSES[case]
    make(tmp_path / "r.parquet")
    content = plain_config(
        models={"r": {"engine": "recorded", "responses": str(tmp_path / "r.parquet")}},
        prompts={"source": "recorded"},
    )
    del content["contestants"]
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump({**content, "cluster": {"cache_dir": str(tmp_path / "cache")}, **changes})
    )
    code, _, line = outcome(
        ["run", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "run")], capsys
    )
    assert code == 2
    assert expected in line


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CONFIGS: dict[str, tuple[str | bytes, list[str], str]] = {
    "yaml that grows without end": (BOMB, [], "a: unknown key; allowed are seed, models"),
    "yaml that grows in a field": (
        "seed:\n" + "".join(f"- {line.partition(': ')[2]}\n" for line in BOMB.splitlines()),
        [],
        "is not allowed",
    ),
    "bytes": (b"\x00\xff\xfe", [], "cannot be read as UTF-8"),
    "a list": ("- 1", [], "holds list"),
    "a python object": ("seed: !!python/object/apply:os.system [echo]", [], "not YAML"),
    "an unknown archetype": (
        "",
        ["--persona", "lawyer"],
        "'lawyer' is no archetype of the population",
    ),
    "prompts below three": ("", ["--num-prompts", "2"], "prompts.per_archetype: 2 is not allowed"),
    "comparing every 0 votes": ("", ["--eval-freq", "0"], "votes.eval_freq: 0 is not allowed"),
    "a negative pull": ("", ["--lambda-reg", "-1"], "ratings.lambda_reg: -1.0 is not allowed"),
    "a pull that is no number": ("", ["--lambda-reg", "nan"], "ratings.lambda_reg"),
    "checkpoints of words": (
        "",
        ["--set", "votes.checkpoints=[five]", "--eval-freq", "2"],
        "votes.checkpoints",
    ),
    "a population beyond all": ("", ["--set", "population.size=1e30"], "population.size"),
    "an engine nobody knows": ("", ["--set", "models.m.engine=ollama"], "vllm"),
    "a taste that is no number": (
        "",
        ["--set", "population.archetypes.coder.taste={code: .nan}"],
        "taste.code: nan is not allowed: Input should be a finite number",
    ),
    "an endless number": ("", ["--set", "evaluation.confidence=.inf"], "inf is not allowed"),
    "5,000 digits": ("", ["--set", "seed=" + 5000 * "9"], "is not a YAML value: Exceeds the limit"),
    "lists in lists": (
        "",
        ["--set", "evaluation.users=" + 3000 * "["],
        "is not a YAML value: it is nested too deeply",
    ),
    "lists in lists in the file": (b"seed: " + 3000 * b"[", [], "it is nested too deeply"),
    "a date that is none": (
        "",
        ["--set", "seed=2026-13-45"],
        "--set seed=2026-13-45: '2026-13-45' is not a YAML value: month must be in 1..12",
    ),
    "a tag of Python's": ("", ["--set", "seed=!!python/object:os.system x"], "not a YAML value"),
    "a tag that does not fit": ("", ["--set", "seed=!!timestamp x"], "does not fit its tag"),
    "a tag of nobody's": (b"seed: !mine 3\n", [], "not YAML: could not determine a constructor"),
    "aliases that explode": (
        b"seed:\n- &a [x,x,x,x,x,x,x,x]\n"
        + b"".join(
            f"- &{n} [{','.join(8 * [f'*{m}'])}]\n".encode()
            for m, n in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        [],
        "is not allowed",
    ),
    "a terminal's command in a key": (
        "",
        ["--set", "cluster.\x1b[31m=3"],
        "cluster.\\x1b[31m: unknown key",
    ),
    "a line end in a contestant's name": (
        "",
        ["--set", 'contestants.0.name="a\\nb"'],
        "is not allowed as a name: no control characters, no line ends",
    ),
    "a key in the place of a list": (
        "",
        ["--set", "contestants.first.name=x"],
        "the config has no place",
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configs(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, options, expected = CONFIGS[case]
    content = text if text else yaml.safe_dump(plain_config())
    (tmp_path / "c.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, line = outcome(
        ["run", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "run"), *options], capsys
    )
    assert code == 2
    assert expected in line
    assert len(line) < 1500


LMSYS = (
    b"id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
)
IMPORTS: dict[str, tuple[str, str, Make, str]] = {
    "lmsys: another table": ("lmsys", "v.csv", raw(HEAD + VOTE), "has no column 'id'"),
    "lmsys: a zip from Kaggle": ("lmsys", "v.csv", raw(zipped(1000)), "is compressed (zip)"),
    "lmsys: no row is a battle": (
        "lmsys",
        "v.csv",
        raw(LMSYS + b'1,x,y,"[""p""]","[""a""]","[""b""]",1,1,0\n'),
        "row 1: not exactly one of",
    ),
    "lmsys: an open quote": ("lmsys", "v.csv", raw(LMSYS + b'1,x,y,"[""p""'), "v.csv"),
    "mtbench: neither form": (
        "mtbench",
        "v.jsonl",
        lines({"question_id": 1, "model_a": "x", "model_b": "y", "winner": "tie", "judge": "j"}),
        "has neither",
    ),
    "mtbench: a conversation of numbers": (
        "mtbench",
        "v.jsonl",
        lines(
            {
                "question_id": 1,
                "model_a": "x",
                "model_b": "y",
                "winner": "tie",
                "judge": "j",
                "conversation_a": 1,
                "conversation_b": [2],
            }
        ),
        "conversation_a is not a list of role and content",
    ),
    "alpaca-eval: an object": (
        "alpaca-eval",
        "v.json",
        document({"instruction": "?"}),
        "holds dict",
    ),
    "alpaca-eval: neither form": (
        "alpaca-eval",
        "v.json",
        document([{"instruction": "?"}]),
        "has neither",
    ),
    "alpaca-eval: an empty folder": (
        "alpaca-eval",
        "folder",
        lambda path: path.mkdir(),
        "holds no model_outputs.json or annotations.json",
    ),
    "prism: an empty folder": (
        "prism",
        "folder",
        lambda path: path.mkdir(),
        "utterances.jsonl: no such file",
    ),
    "prism: no opening turn": (
        "prism",
        "v.jsonl",
        lines(
            {
                "interaction_id": "i",
                "user_id": "u",
                "turn": 2,
                "user_prompt": "p",
                "model_response": "r",
                "model_name": "m",
                "score": 5,
            }
        ),
        "nothing in it can be imported as prism",
    ),
    "jsonl: no line is a vote": (
        "jsonl",
        "v.jsonl",
        lines({"model_a": "x", "model_b": "x", "winner": "tie"}),
        "row 1: a model against itself",
    ),
    "jsonl: truncated": (
        "jsonl",
        "v.jsonl",
        raw(b'{"model_a": "x", "mod'),
        "no line is a JSON object",
    ),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_data_sets_that_cannot_be_imported(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, name, make, expected = IMPORTS[case]
    make(tmp_path / name)
    code, _, line = outcome(
        ["import", kind, str(tmp_path / name), "--out", str(tmp_path / "out")], capsys
    )
    assert code == 2
    assert expected in line
    assert not list((tmp_path / "out").glob("*"))


def test_an_import_into_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines({"model_a": "x", "model_b": "y", "winner": "tie"})(tmp_path / "v.jsonl")
    code, _, line = outcome(
        ["import", "jsonl", str(tmp_path / "v.jsonl"), "--out", str(tmp_path / "v.jsonl")], capsys
    )
    assert code == 2
    assert "cannot be written" in line
