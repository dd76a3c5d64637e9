"""What the program was doing when it failed, by the functions that a traceback names.

A KeyError is a KeyError; inside of `load_checkpoint` it is a model that does not load. Only where the wording of a
failure says nothing more itself.
"""

import re
from collections.abc import Sequence
from functools import cache

from commcheck.model.case import LogLine
from commcheck.model.taxonomy import Symptom

_FUNCTIONS: tuple[tuple[tuple[Symptom, ...], str], ...] = (
    (
        (Symptom.PREP_MODEL_LOADING_FAILURE, Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING),
        (
            r"_?(?:load|restore|resume)_(?:\w+_)?(?:checkpoint|model|weights|state_dict|state)\w*|from_pretrained|restore|load_from_checkpoint"
            r"|_sync_params_and_buffers|_sync_module_states|_ddp_init_helper|_init_param_handle\w*|_validate_tensors_to_flatten"
        ),
    ),
    (
        (Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,),
        r"_?save_(?:\w+_)?(?:checkpoint|model|weights|state|pretrained)\w*|_?save|_serialize_model|to_json|torch_save",
    ),
    (
        (Symptom.PREP_DATA_LOADING_FAILURE, Symptom.PREP_OTHER),
        r"load_data(?:set)?|read_data_sets|_?download_and_prepare|maybe_download|prepare_data|_try_get_data|_next_data|_get_iterator|reduce_storage|DupFd|send_handle",
    ),
    ((Symptom.PREP_OTHER,), r"do_open|urlopen|urlretrieve|https?_open|download_url"),
)
WORDS = (
    ", in load_", ", in _load_", ", in restore", ", in _restore", ", in resume", ", in from_pretrained", ", in _sync_", ", in _ddp_init", ", in _init_param", ", in _validate_tensors", ", in save", ", in _save",
    ", in _serialize_model", ", in to_json", ", in torch_save", ", in read_data_sets", ", in download_and", ", in _download_and",
    ", in maybe_download", ", in prepare_data", ", in _try_get_data", ", in _get_iterator", ", in reduce_storage", ", in DupFd", ", in send_handle", ", in _next_data", ", in do_open", ", in urlopen",
    ", in urlretrieve", ", in http_open", ", in https_open", ", in download_url",
)  # fmt: skip
"""One of these is in every frame that is looked for."""
_SHOWN = 4096
_INSTALLS = re.compile(
    r"/pip-(?:install|build|req-build|ephem)-|\bsetup\.py\b|\bin (?:check_tf_version|check_torch_version|build_ext)\b"
)


@cache
def _frames() -> tuple[tuple[tuple[Symptom, ...], re.Pattern[str]], ...]:
    return tuple(
        (symptoms, re.compile(rf", in (?:{names})\s*(?:$|\()"))  # Python before 3.13 writes no parentheses
        for symptoms, names in _FUNCTIONS
    )


def shown(lines: Sequence[LogLine], at: LogLine | None = None) -> tuple[Symptom, ...]:
    """What a failure is whose line is `at`, by the last frame before it in the same log; nothing where none tells.

    Without a line, where a log ends before its exception does, by the last frame of all."""
    for line in reversed(lines):
        if at is None or (line.source == at.source and line.number < at.number):
            for symptoms, pattern in _frames():
                if pattern.search(line.text, 0, _SHOWN):
                    return symptoms
    return ()


def installing(lines: Sequence[LogLine], at: LogLine) -> tuple[Symptom, ...]:
    """Whether the log of the line `at` is that of an installation: what is missing there is missing for that."""
    installs = any(line.source == at.source and _INSTALLS.search(line.text, 0, _SHOWN) for line in lines)
    return (Symptom.BUILD_INSTALL_FAILURE,) if installs else ()
