"""The manifests, against the real schemas of their kinds: an excerpt, whose source and versions it names."""

import json
from pathlib import Path

import jsonschema
import pytest

from commcheck.engines.base import Wanted
from commcheck.engines.detecting import engines

SCHEMAS = json.loads((Path(__file__).parent / "kubernetes" / "schemas.json").read_text())["kinds"]
ENGINES = {engine.name: engine for engine in engines()}


def manifest(engine: str, wanted: Wanted) -> list[dict]:
    launch = ENGINES[engine].render(wanted)
    whole = json.loads(launch.files[0][1])
    return whole["items"] if whole["kind"] == "List" else [whole]


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("directory", ["", "/reports"])
@pytest.mark.parametrize("engine", ["kubernetes", "trainjob", "pytorchjob"])
def test_a_manifest_is_what_the_api_takes(engine, directory, nodes):
    wanted = Wanted(nodes=nodes, ranks_per_node=2, report_dir=directory, image="img:1", options=("--backend", "gloo"))
    items = manifest(engine, wanted)
    for item in items:
        jsonschema.validate(item, SCHEMAS[item["kind"]], cls=jsonschema.Draft202012Validator)
    text = json.dumps(items)
    assert '"--backend", "gloo"' in text
    assert ('"--report-to", "stdout"' in text) is not bool(directory)


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_the_schemas_refuse_what_is_wrong(kind):
    engine = {"PyTorchJob": "pytorchjob", "TrainJob": "trainjob"}.get(kind, "kubernetes")
    (item,) = [i for i in manifest(engine, Wanted(nodes=2, ranks_per_node=1)) if i["kind"] == kind]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**item, "spec": {**item["spec"], "colour": "red"}}, SCHEMAS[kind])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**item, "spec": "none"}, SCHEMAS[kind])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**item, "apiVersion": "v0"}, SCHEMAS[kind])


def test_the_pods_logs_lead_to_one_verdict():
    launch = ENGINES["kubernetes"].render(Wanted(nodes=20, ranks_per_node=1))
    assert "kubectl logs -l job-name=commcheck --prefix --tail=-1 --max-log-requests=20 | commcheck diagnose -" in (
        launch.commands
    )


def test_a_pod_of_a_trainjob_without_torchrun_is_a_rank():
    said = ENGINES["trainjob"].detect(
        {
            "PET_NNODES": "4",
            "PET_NODE_RANK": "2",
            "PET_NPROC_PER_NODE": "1",
            "PET_MASTER_ADDR": "job-node-0-0.job",
            "PET_MASTER_PORT": "29400",
        }
    )
    assert (said.rank, said.world_size, said.first_host, said.port) == (2, 4, "job-node-0-0.job", 29400)
    assert ENGINES["trainjob"].detect({"PET_NNODES": "4", "PET_NODE_RANK": "2", "PET_NPROC_PER_NODE": "8"}) is None
