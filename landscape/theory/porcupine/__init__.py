"""What theory says of porcupine losses: sign regions, the exact label of any point, the global optimum.

Neurons are bound to lines, and everything about a point is decided by the masses of both signs on each line (`masses`)
and by the one-sided slopes of the loss in them. Source: Feizi, Javadi, Zhang and Tse 2017 (theorem 1 and the captions
of figures 2 to 5); what goes beyond is derived here.
"""
