"""What pyproject.toml cannot say: the folder `kernels` is installed as `copgen.kernels`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["copgen*", "copgen_cli*"]), "copgen.kernels"],
    package_dir={"copgen.kernels": "kernels"},
)
