"""The program under test, `sharewarden dev`, on free ports. It serves all tests: each takes a recipient of its own."""

import os
import pathlib
from collections.abc import Iterator

import pytest

from .service import Service


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--program", required=True, help="the program sharewarden, with its command dev")


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # Settings of this machine are none of the tests' business.
    for name in [name for name in os.environ if name.startswith(("AWS_", "SHAREWARDEN_"))]:
        del os.environ[name]
    os.environ["no_proxy"] = "127.0.0.1,localhost"
    program = pathlib.Path(request.config.getoption("--program")).resolve()
    with Service.running(program, tmp_path_factory.mktemp("dev")) as service:
        yield service
