"""Object Storage through Oracle's SDK: objects, conditions, lists, retention, and URLs that need no signature."""

import base64
import datetime
import hashlib

import oci
import requests
from oci.object_storage import models
from sandbox import endpoint, equal, fact, refused, run, storage

NAMESPACE, BUCKET = fact("NAMESPACE"), "audit"


def put(name, body, **more):
    return storage().put_object(NAMESPACE, BUCKET, name, body, **more)


def get(name, **more):
    return storage().get_object(NAMESPACE, BUCKET, name, **more)


def writes_and_reads():
    equal(storage().get_namespace().data, NAMESPACE)
    equal(storage().get_bucket(NAMESPACE, BUCKET).data.name, BUCKET)
    equal(storage().head_bucket(NAMESPACE, BUCKET).status, 200)
    md5 = base64.b64encode(hashlib.md5(b"content").digest()).decode()
    written = put("folder/first one.json", b"content", opc_meta={"set": "orders"}, content_type="application/json")
    equal(written.headers["opc-content-md5"], md5)
    read = get("folder/first one.json")
    equal(read.data.content, b"content")
    equal(read.headers["etag"], written.headers["etag"])
    equal(read.headers["content-type"], "application/json")
    equal(read.headers["opc-meta-set"], "orders")
    head = storage().head_object(NAMESPACE, BUCKET, "folder/first one.json")
    equal((head.headers["content-length"], head.headers["content-md5"]), ("7", md5))
    part = get("folder/first one.json", range="bytes=2-4")
    equal((part.status, part.data.content, part.headers["content-range"]), (206, b"nte", "bytes 2-4/7"))
    refused(404, "ObjectNotFound", get, "other")
    refused(404, "BucketNotFound", storage().get_object, NAMESPACE, "other", "first")
    refused(404, "NamespaceNotFound", storage().get_object, "other", BUCKET, "first")
    refused(400, "UnmatchedContentMD5", put, "second", b"content", content_md5=base64.b64encode(b"0" * 16).decode())
    equal(storage().delete_object(NAMESPACE, BUCKET, "folder/first one.json").status, 204)
    refused(404, "ObjectNotFound", storage().delete_object, NAMESPACE, BUCKET, "folder/first one.json")


def an_upload_from_a_stream_leaves_its_body_unsigned():
    with open(__file__, "rb") as stream:
        put("stream", stream)
    with open(__file__, "rb") as stream:
        equal(get("stream").data.content, stream.read())


def conditions_are_kept():
    first = put("record", b"1", if_none_match="*").headers["etag"]
    refused(412, "IfNoneMatchFailed", put, "record", b"2", if_none_match="*")
    second = put("record", b"2", if_match=first).headers["etag"]
    assert second != first
    refused(412, "IfMatchFailed", put, "record", b"3", if_match=first)
    refused(412, "IfMatchFailed", put, "absent", b"3", if_match=first)
    refused(412, "IfMatchFailed", storage().delete_object, NAMESPACE, BUCKET, "record", if_match=first)
    refused(412, "IfMatchFailed", get, "record", if_match=first)
    refused(304, None, get, "record", if_none_match=second)
    equal(get("record", if_none_match=first).data.content, b"2")
    storage().delete_object(NAMESPACE, BUCKET, "record", if_match=second)


def lists_by_name_prefix_and_page():
    for name in ["a/1", "a/2", "a/3", "b/1", "c"]:
        put(name, b"x" * 5)
    listed = storage().list_objects(NAMESPACE, BUCKET, prefix="a/", limit=2, fields="name,size,md5")
    equal([(entry.name, entry.size, entry.etag) for entry in listed.data.objects], [("a/1", 5, None), ("a/2", 5, None)])
    equal(listed.data.next_start_with, "a/3")
    rest = storage().list_objects(NAMESPACE, BUCKET, prefix="a/", start="a/3").data
    equal(([entry.name for entry in rest.objects], rest.next_start_with), (["a/3"], None))
    folders = storage().list_objects(NAMESPACE, BUCKET, delimiter="/").data
    equal((folders.prefixes, [entry.name for entry in folders.objects]), (["a/", "b/"], ["c"]))
    between = storage().list_objects(NAMESPACE, BUCKET, start_after="a/1", end="b/1").data
    equal([entry.name for entry in between.objects], ["a/2", "a/3"])
    every = oci.pagination.list_call_get_all_results(
        storage().list_objects, NAMESPACE, BUCKET, limit=2
    ).data.objects
    equal([entry.name for entry in every], ["a/1", "a/2", "a/3", "b/1", "c"])


def a_url_opens_one_object_without_a_signature():
    put("wallets/orders.zip", b"wallet")
    put("wallets/other.zip", b"other")
    expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    details = models.CreatePreauthenticatedRequestDetails(
        name="wallet", object_name="wallets/orders.zip", access_type="ObjectRead", time_expires=expires
    )
    made = storage().create_preauthenticated_request(NAMESPACE, BUCKET, details).data
    url = endpoint("OBJECTSTORAGE") + made.access_uri
    equal(requests.get(url, timeout=20).content, b"wallet")
    equal(requests.get(url.replace("orders", "other"), timeout=20).status_code, 404)
    equal(requests.put(url, data=b"changed", timeout=20).status_code, 404)
    listed = storage().list_preauthenticated_requests(NAMESPACE, BUCKET).data
    equal([(entry.id, entry.object_name) for entry in listed], [(made.id, "wallets/orders.zip")])
    storage().delete_preauthenticated_request(NAMESPACE, BUCKET, made.id)
    equal(requests.get(url, timeout=20).status_code, 404)
    again = storage().create_preauthenticated_request(NAMESPACE, BUCKET, details).data
    with open(fact("URL_FILE"), "w", encoding="utf-8") as file:
        file.write(endpoint("OBJECTSTORAGE") + again.access_uri)


def the_url_is_open():
    with open(fact("URL_FILE"), encoding="utf-8") as file:
        equal(requests.get(file.read(), timeout=20).content, b"wallet")


def the_url_is_closed():
    with open(fact("URL_FILE"), encoding="utf-8") as file:
        equal(requests.get(file.read(), timeout=20).status_code, 404)


def rules_retain_objects():
    put("record", b"1")
    details = models.CreateRetentionRuleDetails(
        display_name="audit", duration=models.Duration(time_amount=30, time_unit="DAYS")
    )
    rule = storage().create_retention_rule(NAMESPACE, BUCKET, details).data
    equal((rule.duration.time_amount, rule.time_rule_locked), (30, None))
    refused(409, "ObjectRetained", put, "record", b"2")
    refused(409, "ObjectRetained", storage().delete_object, NAMESPACE, BUCKET, "record")
    put("another", b"1")
    equal([entry.id for entry in storage().list_retention_rules(NAMESPACE, BUCKET).data.items], [rule.id])
    equal(storage().get_retention_rule(NAMESPACE, BUCKET, rule.id).data.display_name, "audit")
    for_ever = models.CreateRetentionRuleDetails(
        time_rule_locked=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=20)
    )
    refused(400, "InvalidParameter", storage().create_retention_rule, NAMESPACE, BUCKET, for_ever)


def may_delete_again():
    equal(storage().delete_object(NAMESPACE, BUCKET, "record").status, 204)


def may_create_but_not_overwrite():
    put("record", b"1")
    refused(412, "IfNoneMatchFailed", put, "record", b"2", if_none_match="*")
    refused(404, "BucketNotFound", put, "record", b"2")
    refused(404, "BucketNotFound", storage().delete_object, NAMESPACE, BUCKET, "record")
    refused(404, "BucketNotFound", storage().list_objects, NAMESPACE, BUCKET)
    equal(get("record").data.content, b"1")


run({name: case for name, case in list(globals().items()) if callable(case)})
