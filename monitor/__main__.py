"""`python -m monitor`."""

from monitor.cli.main import app

if __name__ == "__main__":
    app()
