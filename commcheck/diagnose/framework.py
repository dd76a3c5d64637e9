"""Which of the study's frameworks a case is about, for what its users were helped by."""

from commcheck.model.case import Case, Origin

# Words in small letters; the first framework whose words a line has is the line's. Plain words, since a short log is
# answered before a pattern of theirs would be compiled.
_WORDS = (
    ("Horovod", ("horovod", "hvd.")),
    ("TensorFlow", ("tensorflow", "tf.", "grpc_channel", "multiworkermirrored", "collective_ops", "collectiveallreduce")),
    ("Keras", ("keras",)),
    (
        "PyTorch",
        (
            "torch", "c10d", "processgroup", "tcpstore", "deepspeed", "megatron", "accelerate", "lightning", "fsdp",
            "[rank", "childfailederror", "dataparallel",
        ),
    ),
)  # fmt: skip
_LINES = 400  # looked at: what a job runs on is said again and again


def framework_of(case: Case) -> str:
    """One of `commcheck.catalog.symptoms.FRAMEWORKS`, or "" where the lines do not say."""
    if case.origin is not Origin.LOG:
        return "PyTorch"  # the worlds that we form and look at are torch.distributed's
    said: dict[str, int] = {}
    for line in case.lines[:_LINES]:
        small = line.text[:400].lower()
        name = next((name for name, words in _WORDS if any(word in small for word in words)), "")
        said[name] = said.get(name, 0) + 1
    if said.get("Horovod"):
        return "Horovod"  # it runs beneath the others
    said.pop("", None)
    return max(said, key=lambda name: said[name], default="")
