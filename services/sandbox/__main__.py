"""Start the sandbox: `python -m services.sandbox --help`."""

from services.sandbox.app import main

if __name__ == "__main__":
    main()
