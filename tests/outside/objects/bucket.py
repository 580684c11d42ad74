"""What the tests of buckets do there, with the client that everybody has: boto3 reads the endpoint from the environment.

bucket.py make BUCKET              makes a bucket
bucket.py upload FOLDER BUCKET KEY copies the files of a folder to below a key
bucket.py list BUCKET KEY          prints the keys below a key
bucket.py damage BUCKET KEY        changes the first byte of an object
"""

import sys
from pathlib import Path

import boto3

s3 = boto3.client("s3")


def keys(bucket, key):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


match sys.argv[1:]:
    case ["make", bucket]:
        s3.create_bucket(Bucket=bucket)
    case ["upload", folder, bucket, key]:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                s3.upload_file(str(path), bucket, f"{key}/{path.relative_to(folder).as_posix()}")
    case ["list", bucket, key]:
        print("\n".join(keys(bucket, key)))
    case ["damage", bucket, key]:
        content = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        content[0] ^= 1
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(content))
    case other:
        sys.exit(f"no such task: {other}")
