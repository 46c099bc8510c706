"""What openapi-python-client makes of the gateway's OpenAPI, used on a gateway:

    python3 client.py http://127.0.0.1:8084
"""

import datetime
import sys
from http import HTTPStatus

from orders import Client
from orders.api.default import by_index_1, by_unique_1, create, delete, get, list_, patch, put
from orders.models import Document, Event, Page, Problem, WriteDocument

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)
ID = "py/1 ä"  # a path has it percent-encoded


def equal(got, want):
    assert got == want, f"{got!r}, want {want!r}"


def problem(response, status, kind):
    assert isinstance(response.parsed, Problem), response
    equal((response.status_code, response.parsed.status, response.parsed.type_), (status, status, f"/problems/{kind}"))
    return response.parsed


def order(**fields):
    return Document.from_dict(fields)


problem(get.sync_detailed(ID, client=client), 404, "not-found")

placed = datetime.datetime(2026, 11, 30, 8, tzinfo=datetime.timezone.utc)
made = create.sync_detailed(client=client, body=Document(field_id=ID, customer="ada", number=27, placed=placed, total="1.50"))
equal(made.status_code, HTTPStatus.CREATED)
equal((made.parsed.placed, made.parsed.total), (placed, "1.50"))

read = get.sync_detailed(ID, client=client)
equal(read.parsed, made.parsed)
etag = read.headers["ETag"]
equal(get.sync_detailed(ID, client=client, if_none_match=etag).status_code, HTTPStatus.NOT_MODIFIED)

# The same request under its key is answered as before; another client's version is gone.
for replayed in [None, "true"]:
    patched = patch.sync_detailed(ID, client=client, body=order(customer="bob", total=None), if_match=etag, idempotency_key="py-patch")
    equal((patched.parsed.customer, "total" in patched.parsed.to_dict(), patched.headers.get("Idempotency-Replayed")), ("bob", False, replayed))
problem(patch.sync_detailed(ID, client=client, body=order(customer="eve"), if_match=etag), 412, "version")
problem(patch.sync_detailed(ID, client=client, body=order(customer="eve"), if_match=etag, idempotency_key="py-patch"), 422, "key-reused")
problem(create.sync_detailed(client=client, body=order(_id=ID)), 409, "id-taken")
equal(problem(create.sync_detailed(client=client, body=order(number=27)), 409, "taken").field, "number")

write = WriteDocument(document=order(customer="py", number=27, placed=placed.isoformat()), events=[Event(type_="order.paid")])
assert put.sync_detailed(ID, client=client, body=write, idempotency_key="py-put").headers["Banyan-Written"]

for n in range(1, 5):
    create.sync(client=client, body=Document(customer="py", number=270 + n, placed=placed + datetime.timedelta(seconds=n)))
numbers, cursor = [], {}
while True:
    page = by_index_1.sync(client=client, equal="py", descending=True, limit=2, **cursor)
    assert isinstance(page, Page), page
    numbers += [item.document.number for item in page.items]
    if not page.next_cursor:
        break
    cursor = {"cursor": page.next_cursor}
equal(numbers, [274, 273, 272, 271, 27])
problem(list_.sync_detailed(client=client, cursor="x"), 400, "cursor")

found = by_unique_1.sync_detailed(client=client, number="27")
equal(found.parsed.field_id, ID)
equal([item.id for item in list_.sync(client=client, id=[ID, "nobody"]).items], [ID])
problem(delete.sync_detailed(ID, client=client, if_match=etag), 412, "version")
equal(delete.sync_detailed(ID, client=client, if_match=found.headers["ETag"]).status_code, HTTPStatus.NO_CONTENT)
