"""The named studies: frozen dataclasses of settings. Importing them needs no JAX; running them does.

A study's fields are the options of `landscape run NAME` and the keys of its TOML file.
"""

from __future__ import annotations

from landscape.studies.connectivity import ModeConnectivity
from landscape.studies.convergence import Lojasiewicz, StudentMatching
from landscape.studies.data_sets import CriticalWidth, DescendingPath, HiddenConvex
from landscape.studies.dimensions import IntrinsicDimension
from landscape.studies.families import SpuriousFamilies
from landscape.studies.growing import GrowUntilGlobal
from landscape.studies.mismatch import DegreeMismatch
from landscape.studies.own_losses import Gallery
from landscape.studies.porcupines import (
    PorcupineApproximation,
    PorcupineLandscape,
    PorcupineLikelihood,
    PorcupineMismatch,
    PorcupineRegions,
    PorcupineStudy,
)
from landscape.studies.saddles import SaddleCensus, SafranShamirTopology
from landscape.studies.splits import SplitAndEscape
from landscape.studies.sweep import Sweep
from landscape.studies.teachers import SafranShamir, SafranShamirTable, TeacherStudy
from landscape.studies.valleys import SpuriousValley, ValleyByWidth
from landscape.studies.widths_and_scales import InitScale, Overparametrise
from landscape.studies.zeros import ZeroSubnetwork

STUDIES = {
    study.name: study
    for study in (
        SafranShamir,
        SafranShamirTable,
        TeacherStudy,
        PorcupineStudy,
        PorcupineRegions,
        PorcupineLandscape,
        PorcupineApproximation,
        PorcupineLikelihood,
        PorcupineMismatch,
        HiddenConvex,
        CriticalWidth,
        DescendingPath,
        GrowUntilGlobal,
        DegreeMismatch,
        ZeroSubnetwork,
        IntrinsicDimension,
        SpuriousValley,
        ValleyByWidth,
        SafranShamirTopology,
        SaddleCensus,
        ModeConnectivity,
        Lojasiewicz,
        StudentMatching,
        Overparametrise,
        InitScale,
        SpuriousFamilies,
        SplitAndEscape,
        Gallery,
        Sweep,
    )
}
DEFAULT = SafranShamir
