"""The script that most backfills begin as: a day at a time, page by page, a Parquet file a day."""

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq


def token(client):
    form = {"grant_type": "client_credentials"}
    reply = client.post("/oauth/token", data=form, auth=("harness", "harness"))
    return reply.raise_for_status().json()["access_token"]


def page(client, interval, number):
    body = {"interval": interval, "paging": {"pageSize": 100, "pageNumber": number}}
    while True:
        reply = client.post("/api/v2/analytics/conversations/details/query", json=body)
        if reply.status_code != 429:
            return reply.raise_for_status().json().get("conversations", [])
        time.sleep(float(reply.headers.get("retry-after", 1)))


def main(url, first, end, output):
    day, end = date.fromisoformat(first), date.fromisoformat(end)
    with httpx.Client(base_url=url, timeout=60) as client:
        client.headers["authorization"] = f"Bearer {token(client)}"
        while day < end:
            rows, number = [], 1
            while found := page(client, f"{day}T00:00:00Z/{day + timedelta(1)}T00:00:00Z", number):
                rows += found
                number += 1
            table = pa.Table.from_pylist(rows)
            pq.write_table(table, Path(output) / f"{day}.parquet", compression="zstd")
            day += timedelta(1)


main(*sys.argv[1:])
