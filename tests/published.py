"""Figures that others have published."""

import numpy as np

# The hold-out of the FineWeb-Edu classifier, as its card prints it; rows are true.
FINEWEB_EDU = np.array(
    [
        [2791, 2858, 45, 0, 0, 0],
        [919, 22343, 3180, 69, 1, 0],
        [3, 3225, 6330, 757, 7, 0],
        [1, 66, 1473, 1694, 173, 0],
        [0, 4, 98, 420, 283, 2],
        [0, 0, 18, 85, 21, 1],
    ]
)

# What published classifiers made of the five sentences of NeMo Curator's tests, and the lengths of these in bytes.
SENTENCE_BYTES = [68, 78, 82, 89, 79]
SENTENCES = {
    "fineweb-edu": [1.466797, 0.482422, 1.375, 1.234375, 0.135742],
    "mixtral-edu": [1.347656, 0.827637, 1.420898, 1.572266, 0.345215],
    "nemotron-4-edu": [1.391602, 0.889160, 1.345703, 1.727539, 0.248657],
    "dclm": [0.999011, 0.996264, 0.000090, 0.000377, 0.991868],
    "nvidia-domain": [
        "Computers_and_Electronics",
        "Finance",
        "Health",
        "Jobs_and_Education",
        "Travel_and_Transportation",
    ],
}

# What cards and tests have beside them.
SINGLE_CASES = {
    "fineweb-edu": ("This is a test sentence.", 0.07964489609003067),
    "nemotron-4-edu": ("To make lemonade, you will need lemon juice, water, and sugar.", 1.0859375),
}

# The cuts of their makers, the tokens that they read (none: all), and licences, as far as they are known.
CUTS = {
    "dclm": [0.018112],
    "fineweb-edu": [2.5, 1.5],  # 3 and 2 after rounding
    "industrycorpus2-datarater": [3, 4],
    "nemotron-4-edu": [2.5],
}
MAX_TOKENS = {
    "fineweb-edu": 512,
    "mixtral-edu": 512,
    "nemotron-4-edu": 512,
    "industrycorpus2-datarater": 2048,
    "industrycorpus2-domain": 2048,
}
LICENCES = {"dclm": ["mit"], "nemotron-4-edu": ["nvidia open model license", "apache-2.0"]}
REVISIONS = {"dclm": "cd8b714a90f2dbcd3b02cf5fc972e5d7c7f4f107"}
