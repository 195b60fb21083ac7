"""Every way in which Oracle's SDK proves who it is, and requests that it would never send."""

import base64
import email.utils
import hashlib
import time

import oci
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from oci.auth.certificate_retriever import FileBasedCertificateRetriever
from oci.auth.federation_client import X509FederationClient
from oci.auth.session_key_supplier import SessionKeySupplier
from oci.auth.signers.security_token_signer import SecurityTokenSigner, X509FederationClientBasedSecurityTokenSigner
from sandbox import CONFIG, NO_RETRY, endpoint, equal, fact, refused, run, secrets, text, vaults

SECRET = fact("SECRET")
PATH = f"/20180608/secrets/{SECRET}"


def reads_the_secret():
    equal(text(secrets().get_secret_bundle(SECRET)), "first")


def is_not_authenticated():
    refused(401, "NotAuthenticated", secrets().get_secret_bundle, SECRET)
    refused(401, "NotAuthenticated", vaults().get_secret, SECRET)


def reads_the_time_of_the_cloud():
    answered = email.utils.parsedate_to_datetime(secrets().get_secret_bundle(SECRET).headers["date"]).timestamp()
    assert 180 < answered - time.time() < 300, answered - time.time()


def reads_with(signer):
    client = oci.secrets.SecretsClient(
        {}, signer=signer, retry_strategy=NO_RETRY, service_endpoint=endpoint("SECRETS") + "/20190301"
    )
    return text(client.get_secret_bundle(SECRET))


def reads_as_a_function():
    equal(reads_with(oci.auth.signers.get_resource_principals_signer()), "first")


def reads_with_a_session():
    config = oci.config.from_file(fact("SESSION_CONFIG"))
    with open(config["security_token_file"], encoding="utf-8") as file:
        token = file.read()
    key = oci.signer.load_private_key_from_file(config["key_file"], config.get("pass_phrase"))
    equal(reads_with(SecurityTokenSigner(token, key)), "first")


def has_a_token_that_is_over():
    refused(401, "NotAuthenticated", reads_with_a_session)


def reads_as_an_instance():
    leaf = FileBasedCertificateRetriever(
        certificate_file_path=fact("CERTIFICATE"), private_key_pem_file_path=fact("KEY")
    )
    client = X509FederationClient(
        federation_endpoint=endpoint("AUTH") + "/v1/x509",
        tenancy_id=CONFIG["tenancy"],
        session_key_supplier=SessionKeySupplier(),
        leaf_certificate_retriever=leaf,
        retry_strategy=NO_RETRY,
    )
    equal(reads_with(X509FederationClientBasedSecurityTokenSigner(client)), "first")


def reads_as_the_machine():
    """With nothing but OCI_METADATA_BASE_URL, and where the federation service is."""
    signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(federation_endpoint=endpoint("AUTH") + "/v1/x509")
    equal(signer.region, "us-ashburn-1")
    equal(reads_with(signer), "first")


def is_no_instance():
    refused(401, "NotAuthenticated", reads_as_an_instance)


def send(method, body=None, leave_out=(), unsent=(), lie=None, key_id=None, algorithm="rsa-sha256", version="1"):
    """One request signed by hand, so that each rule can be broken on its own."""
    with open(CONFIG["key_file"], "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    headers = {"date": email.utils.formatdate(time.time(), usegmt=True), "host": endpoint("VAULTS").split("//")[1]}
    names = ["date", "(request-target)", "host"]
    if body is not None:
        headers["content-length"] = str(len(body))
        headers["content-type"] = "application/json"
        headers["x-content-sha256"] = base64.b64encode(hashlib.sha256(body).digest()).decode()
        names += ["content-length", "content-type", "x-content-sha256"]
    names = [name for name in names if name not in leave_out]
    values = {**headers, "(request-target)": f"{method.lower()} {PATH}"}
    signed = "\n".join(f"{name}: {values[name]}" for name in names)
    signature = base64.b64encode(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    default_id = "/".join(CONFIG[part] for part in ["tenancy", "user", "fingerprint"])
    headers["authorization"] = (
        f'Signature version="{version}",keyId="{key_id or default_id}",algorithm="{algorithm}",'
        f'headers="{" ".join(names)}",signature="{signature}"'
    )
    headers.update(lie or {})
    for name in unsent:
        del headers[name]
    return requests.request(method, endpoint("VAULTS") + PATH, headers=headers, data=body, timeout=20)


def each_broken_rule_is_refused():
    body = b'{"description": "changed"}'

    def out(**broken):
        answer = send(**broken)
        equal((answer.status_code, answer.json()["code"], broken), (401, "NotAuthenticated", broken))

    equal(send("GET").status_code, 200)
    for name in ["date", "(request-target)", "host"]:
        out(method="GET", leave_out=[name])
    for name in ["date", "(request-target)", "host", "content-length", "content-type", "x-content-sha256"]:
        out(method="PUT", body=body, leave_out=[name])
    out(method="GET", unsent=["authorization"])
    out(method="GET", unsent=["date"])
    out(method="GET", lie={"authorization": "Bearer token"})
    out(method="GET", key_id="/".join([CONFIG["tenancy"], CONFIG["user"], "00:" * 15 + "00"]))
    out(method="GET", key_id="ST$not.a.token")
    out(method="GET", algorithm="rsa-sha512")
    out(method="GET", version="2")
    out(method="GET", lie={"date": email.utils.formatdate(time.time() - 60, usegmt=True)})
    out(method="GET", lie={"date": "yesterday"})
    out(method="PUT", body=body, lie={"x-content-sha256": base64.b64encode(hashlib.sha256(b"").digest()).decode()})
    out(method="PUT", body=body, lie={"content-type": "text/plain"})
    equal(send("PUT", body=body).status_code, 200)


run({name: case for name, case in list(globals().items()) if callable(case)})
