"""Reads what trackers wrote with the readers of wandb and of TensorBoard, and says in JSON what is there.

Usage: read.py FOLDER-OF-OFFLINE-RUNS FOLDER-OF-EVENT-FILES
"""

import json
import math
import sys
import zlib
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record


def records(path):
    """The records of a `.wandb` file, by wandb's own reader where the installed version has one."""
    try:
        from wandb.sdk.internal.datastore import DataStore
    except ImportError:
        yield from map(Record.FromString, framed(path.read_bytes()))
        return
    store = DataStore()
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        yield Record.FromString(data)


def framed(log):
    assert log[:7] == b":W&B\xe1\xbe\x00", "not a log of wandb's"
    at, record = 7, b""
    while at < len(log):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(log[at + 4 : at + 6], "little"), log[at + 6]
        assert zlib.crc32(log[at + 6 : at + 7 + length]) == int.from_bytes(log[at : at + 4], "little")
        record += log[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def plain(value):
    """JSON has no numbers that are not finite."""
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def values(items):
    return {item.nested_key[0]: plain(json.loads(item.value_json)) for item in items}


def offline_run(folder):
    (path,) = folder.glob("run-*.wandb")
    run = {"rows": [], "summary": {}, "axes": {}, "files": [], "artifacts": []}
    for number, record in enumerate(records(path), 1):
        assert record.num == number
        kind = record.WhichOneof("record_type")
        content = getattr(record, kind)
        if kind == "run":
            run["config"] = {item.key: json.loads(item.value_json) for item in content.config.update}
            for field in ("run_id", "project", "run_group", "job_type", "display_name", "resumed", "resume"):
                run[field] = getattr(content, field, None)
        elif kind == "history":
            run["rows"].append(values(content.item))
            assert run["rows"][-1]["_step"] == content.step.num
        elif kind == "summary":
            run["summary"].update(values(content.update))
        elif kind == "metric":
            run["axes"][content.name] = content.step_metric
        elif kind == "files":
            run["files"] += [file.path for file in content.files]
            assert all((folder / "files" / file.path).is_file() for file in content.files)
        elif kind == "artifact":
            run["artifacts"].append([content.name, content.digest, content.use_after_commit])
        elif kind == "exit":
            run["exit_code"] = content.exit_code
        else:
            assert kind == "header", kind
    return run


def event_folder(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    texts = events.Tags()["tensors"]
    return {
        "scalars": {
            tag: [[event.step, plain(event.value)] for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        },
        "texts": {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in texts},
    }


def main(runs, events):
    runs = sorted(Path(runs).glob("offline-run-*"))
    folders = sorted({path.parent for path in Path(events).rglob("events.out.tfevents.*")})
    found = {
        "wandb": [offline_run(folder) for folder in runs],
        "tensorboard": {str(folder.relative_to(events)): event_folder(folder) for folder in folders},
    }
    print(json.dumps(found, allow_nan=False))


main(*sys.argv[1:])
