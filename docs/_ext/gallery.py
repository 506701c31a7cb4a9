"""The order in which examples are to be read."""

FIRST = [
    "plot_noisy_labels",
    "plot_images",
    "plot_text",
    "plot_audit",
    "plot_overlap",
    "plot_imbalance",
    "plot_hand_weights_on",
    "plot_cross_validation",
]


def place(file_name):
    """Return a sort key; examples that are not named above come last, by name."""
    name = file_name.removesuffix(".py")
    return (FIRST.index(name) if name in FIRST else len(FIRST)), name
