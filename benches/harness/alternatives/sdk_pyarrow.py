"""The platform's own SDK for Python: a day at a time, page by page, a Parquet file a day."""

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import PureCloudPlatformClientV2 as sdk
import pyarrow as pa
import pyarrow.parquet as pq


def page(api, interval, number):
    query = sdk.ConversationQuery()
    query.interval = interval
    query.paging = sdk.PagingSpec()
    query.paging.page_size, query.paging.page_number = 100, number
    while True:
        try:
            reply = api.post_analytics_conversations_details_query(query)
            return [row.to_dict() for row in reply.conversations or []]
        except sdk.rest.ApiException as error:
            if error.status != 429:
                raise
            time.sleep(float(error.headers.get("retry-after", 1)))


def main(url, first, end, output):
    sdk.configuration.host = url
    client = sdk.api_client.ApiClient().get_client_credentials_token("harness", "harness")
    api = sdk.ConversationsApi(client)
    day, end = date.fromisoformat(first), date.fromisoformat(end)
    while day < end:
        rows, number = [], 1
        while found := page(api, f"{day}T00:00:00Z/{day + timedelta(1)}T00:00:00Z", number):
            rows += found
            number += 1
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, Path(output) / f"{day}.parquet", compression="zstd")
        day += timedelta(1)


main(*sys.argv[1:])
