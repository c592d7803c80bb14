"""Local convergence and mild over-parametrisation: what more neurons than the teacher has do to a landscape."""
