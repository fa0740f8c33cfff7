from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, str]]:
    """How to reach an S3 server on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "endpoint": f"http://{host}:{port}",
        "access_key_id": "id",
        "secret_access_key": "secret",
        "region": "us-east-1",
    }
    server.stop()


@pytest.fixture
def s3_url(s3_options: dict[str, str], request: pytest.FixtureRequest) -> str:
    """A place in a bucket of its own on that server."""
    bucket = f"bucket-{abs(hash(request.node.nodeid))}"
    client = boto3.client(
        "s3",
        endpoint_url=s3_options["endpoint"],
        aws_access_key_id="id",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=bucket)
    client.close()
    return f"s3://{bucket}/some/prefix"
