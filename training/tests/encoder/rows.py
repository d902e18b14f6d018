"""Tickets of three queues that a linear layer tells apart."""

import json

TOPICS = {
    "Plumbing": [
        "the tap in {} drips",
        "water comes out under the sink of {}",
        "{} has a blocked drain",
    ],
    "Electrical": ["no light in {}", "the socket in {} gives sparks", "the fuse of {} went out"],
    "Heating": ["the radiator in {} stays cold", "it is freezing in {}", "the boiler of {} is off"],
}
ROOMS = [f"{kind} {n}" for kind in ("flat", "hall", "kitchen", "office") for n in range(1, 8)]


def tickets(count):
    """Pairs of text and label, the labels in turn."""
    made = [
        (text.format(room), label)
        for room in ROOMS
        for number in range(3)
        for label, texts in TOPICS.items()
        for text in [texts[number]]
    ]
    return made[:count]


def write_split(folder, split, pairs):
    folder.mkdir(exist_ok=True)
    lines = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": label}]}
        for text, label in pairs
    ]
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
