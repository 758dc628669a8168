"""pyproject.toml says what; here only the packages: those of src/, and conf/ as packtrain.conf"""

from setuptools import find_namespace_packages, find_packages, setup

PLUGINS = find_namespace_packages("src", include=["hydra_plugins.*"], exclude=["*__pycache__*"])
setup(packages=[*find_packages("src"), *PLUGINS, "packtrain.conf"])
