"""`python -m copgen_cli`, the same as `copgen`."""

from copgen_cli.main import run

if __name__ == "__main__":
    run()
