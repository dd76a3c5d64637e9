"""Versions of a library differ between ranks, or between the parts of one installation.

**What you see**
`Mismatched NCCL version detected`, `undefined symbol: nccl...` at import, a framework that says it was built
against another version, or ranks that load different network plugins.

**Why it happens**
Two ranks use different builds (one host was upgraded), or two packages bring the same library (two NCCL wheels,
a system NCCL before the wheel's).

**How to fix**
Install the same versions on every host and remove the duplicates; `pip list | grep -i nccl` must show one line.

**How to confirm**
Compare `python -c 'import torch; print(torch.__version__, torch.cuda.nccl.version())'` on every host.
"""

from __future__ import annotations

from collections import Counter

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.view import names, started, world_failed
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

LIBRARIES = ("torch", "nccl")
"""What has to be the same on all ranks: PyTorch promises nothing between releases, NCCL refuses other versions."""


def match(case: Case) -> Match | None:
    """The hosts' own interpreters have other releases of a library. A world that came through does not make it right:
    other operations, or the next start, may not."""
    for library in LIBRARIES:
        found = {h.host: _release(h.versions[library]) for h in case.hosts if h.versions.get(library)}
        ranks = [r for r in started(case) if r.host in found]
        counts = Counter(found[r.host] for r in ranks)
        if len(counts) < 2:
            continue
        # The most frequent one is taken for the meant one; where two are equally frequent, that of the first rank.
        usual = max(counts, key=lambda v: (counts[v], v == found[ranks[0].host]))
        others = [r for r in ranks if found[r.host] != usual]
        culprits = names(others)
        failed = world_failed(case)
        seen = [
            Evidence(kind=EvidenceKind.FACT, rank=r.name, text=f"{library} {found[r.host]}", source="the rank itself")
            for r in (ranks[0], *others)[:6]
        ]
        through = Evidence(kind=EvidenceKind.VALUE, text="this world came through all the same")
        return Match(
            symptom=Symptom.SETUP_FAILURE,
            title=f"{library} is {found[others[0].host]} on {ranks_text(culprits)}, and {usual} on the others",
            confidence=0.7 if failed else 0.55,
            ranks=culprits,
            hosts=tuple(dict.fromkeys(r.host for r in others)),
            evidence=tuple(seen),
            against=() if failed else (through,),
            fixes=(
                Fix(
                    pattern=FixPattern.DEPENDENCY_VERSION,
                    text=f"install {library} {usual} on {', '.join(dict.fromkeys(r.host for r in others))} too",
                    commands=(f"pip install {library}=={usual}",) if library == "torch" else (),
                    applies_to_ranks=culprits,
                ),
            ),
        )
    return None


def _release(version: str) -> str:
    """A version without the mark of its build: 2.13.0 of 2.13.0+cpu."""
    return version.partition("+")[0]


_NOT_ASKED_FOR = r"^(?!.*\bncclOsDlsym\().*?"
"""NCCL 2.30 and later look for what a driver may not have, and say so in passing (src/os/linux.cc)."""

RULE = Rule(
    cause="version-mismatch",
    code="CC912",
    title="Versions of a library differ between ranks, or between the parts of one installation",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_FAILURE,
        Symptom.BUILD_IMPORT_ERROR,
        Symptom.TRAIN_SEGMENTATION_FAULT,
        Symptom.SETUP_HANG_TIMEOUT,
        Symptom.BUILD_INSTALL_FAILURE,
        Symptom.PREP_MODEL_LOADING_FAILURE,
        Symptom.TRAIN_GRAPH_EXECUTION_ERROR,
        Symptom.TRAIN_ATTRIBUTE_NOT_FOUND,
    ),
    fixes=(
        (
            FixPattern.DEPENDENCY_VERSION,
            "Install one and the same version on every host; remove the second copy of the library.",
        ),
        (FixPattern.DEVICE_CONSISTENCY, "Start every rank from the same image or environment."),
    ),
    match=match,
    needs=("ranks", "hosts"),
    signatures=(
        Signature(
            pattern="Mismatched NCCL version detected",
            literal="mismatched nccl version detected",
            source="nccl: src/init.cc, fillInfo and initTransportsRank",
            positive="NCCL WARN Mismatched NCCL version detected : rank 0 version 22703 rank 3 version 21903",
            negative="NCCL version 2.27.3",
            weight=0.95,
        ),
        Signature(
            pattern=rf"{_NOT_ASKED_FOR}undefined symbol:? ?(?:nccl\w+|_ZN?\w*(?:c10|torch|at)\w*|\w*(?:mpi|MPI|cu(?:da|blas|sparse|dnn)|ucp|ucs)\w*)",
            literal="undefined symbol",
            source="glibc: dl_lookup",
            positive="ImportError: /opt/x/libtorch_cuda.so: undefined symbol: ncclCommWindowRegister",
            negative="symbol defined",
            weight=0.85,
            symptoms=(Symptom.BUILD_IMPORT_ERROR,),
        ),
        Signature(
            pattern=rf"{_NOT_ASKED_FOR}undefined symbol:? ?\S+",
            literal="undefined symbol",
            source="glibc: dl_lookup",
            positive="ImportError: /opt/x/ext.so: undefined symbol: some_function",
            negative="NCCL INFO ncclOsDlsym(nvmlInit) failed: /usr/lib/libnvidia-ml.so.1: undefined symbol: nvmlInit",
            weight=0.55,
            symptoms=(Symptom.BUILD_IMPORT_ERROR,),
        ),
        Signature(
            pattern=r"version `?(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+'? not found",
            literal="version `glib | version `cxxabi | version glib | version cxxabi",
            source="glibc: dl-version.c",
            positive="/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by /opt/x/ext.so)",
            negative="version 3 not found",
            symptoms=(Symptom.BUILD_IMPORT_ERROR,),
            weight=0.85,
        ),
        Signature(
            pattern=r"Framework \w+ installed with version \S+ but found version",
            literal="but found version",
            source="horovod: horovod/common/exceptions.py",
            positive="Framework pytorch installed with version 2.0.1 but found version 2.1.0.",
            negative="found version 2",
            weight=0.85,
        ),
        Signature(
            pattern=r"(?:was )?(?:built|compiled) (?:with|against|using) (?:CUDA|NCCL|[Pp]y[Tt]orch|cuDNN)? ?(?:version )?[\d.]+.{0,80}\b(?:but|while|however|which does not match|mismatch)",
            literal="built with | compiled with | built against | compiled against | built using | compiled using",
            source="PyTorch extensions and frameworks: a version check at import",
            positive="apex was compiled with CUDA 11.8 but the installed PyTorch uses 12.1",
            negative="built with CUDA 12",
            weight=0.6,
        ),
        Signature(
            pattern=r"detected CUDA version \([\d.]+\) mismatches the version that was used to compile",
            literal="mismatches the version",
            source="pytorch: torch/utils/cpp_extension.py",
            positive="RuntimeError: The detected CUDA version (11.2) mismatches the version that was used to compile PyTorch (12.1).",
            negative="the CUDA version matches",
            symptoms=(Symptom.BUILD_INSTALL_FAILURE,),
            weight=0.8,
        ),
        Signature(
            pattern=r"XML (?:Topology|Graph) has wrong version \d+",
            literal="has wrong version",
            source="nccl: src/graph/xml.cc",
            positive="NCCL WARN XML Topology has wrong version 2, 1 needed",
            negative="the version is right",
            weight=0.6,
        ),
    ),
    explains=PEERS_SEE,
)
