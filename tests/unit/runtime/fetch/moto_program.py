"""Runs moto's server with one bucket `models` and an access key, until its standard input is closed.

It prints its URL and the key as one line of JSON. `s3_server` runs it in a separate environment.
"""

from __future__ import annotations

import json
import sys

import boto3
from moto.server import ThreadedMotoServer

ALLOW_ALL = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}'


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    anyone = {
        "endpoint_url": url,
        "aws_access_key_id": "x",
        "aws_secret_access_key": "x",
        "region_name": "us-east-1",
    }
    iam = boto3.client("iam", **anyone)
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=ALLOW_ALL)
    made = iam.create_access_key(UserName="reader")["AccessKey"]
    boto3.client("s3", **anyone).create_bucket(Bucket="models")
    print(
        json.dumps({"url": url, "access_key": made["AccessKeyId"], "secret_key": made["SecretAccessKey"]}),
        flush=True,
    )
    sys.stdin.read()


if __name__ == "__main__":
    main()
