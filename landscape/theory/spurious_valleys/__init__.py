"""Spurious valleys: components of sublevel sets without a global minimum (Venturi, Bandeira and Bruna 2019)."""
