"""Certificates made by openssl, as somebody would who does not use --dev."""
import subprocess


def openssl(*arguments, folder):
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make_ca(folder, name):
    """NAME.pem and NAME-key.pem."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            f"/CN=Test CA {name}", "-keyout", f"{name}-key.pem", "-out", f"{name}.pem", folder=folder)
    return folder / f"{name}.pem"


def issue(folder, ca, name, alternatives="IP:127.0.0.1,DNS:localhost"):
    """NAME.pem and NAME-key.pem, signed by the CA of that name."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
            f"{name}-key.pem", "-out", f"{name}.csr", folder=folder)
    (folder / f"{name}.ext").write_text(f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}-key.pem", "-CAcreateserial",
            "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem", folder=folder)
    return folder / f"{name}.pem", folder / f"{name}-key.pem"
