"""One colour and one marker a label, in figures and in HTML alike.

Colours are Okabe and Ito's (2008) and greys, told apart by eyes of every kind; markers are for print without colour.
"""

from __future__ import annotations

COLOURS = {
    "global": "#0072B2",
    "spurious": "#D55E00",
    "saddle": "#009E73",
    "trap": "#E69F00",
    "at_infinity": "#56B4E9",
    "undecided": "#4D4D4D",
    "unconverged": "#B0B0B0",
}
MARKERS = {
    "global": "o",
    "spurious": "D",
    "saddle": "v",
    "trap": "s",
    "at_infinity": "^",
    "undecided": "P",
    "unconverged": "X",
}
