"""Parallel homogeneous networks: the polar test, and growing by the subnetwork that it finds (Haeffele and Vidal 2017).

With Z = -gradient of the data loss in the outputs, the polar is Omega(Z) = max <Z, phi(V)> over g(V) <= 1 (`polar`).
Omega(Z) <= lambda certifies a stationary point as global over all widths (`certificate`); Omega(Z) > lambda says that a
wider network is better (`birth`), and, without a zero subnetwork, nothing of this width (`labels`).
"""
