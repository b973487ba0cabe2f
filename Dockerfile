# tfpwl with everything that builds need:
#   docker build -t tfpwl .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD":/work tfpwl build my.yaml
FROM python:3.11-slim-bookworm

# The packages first: they change less often than the code.
COPY requirements.txt /src/
COPY setup.cfg pyproject.toml README.md LICENSE /src/
COPY tfpwl /src/tfpwl
RUN python -m pip install --no-cache-dir -c /src/requirements.txt "/src[train,tensorboard,mlflow]"

# Whoever runs it may be a user without a home, and matplotlib and Keras want one.
ENV HOME=/tmp TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /work
ENTRYPOINT ["tfpwl"]
CMD ["--help"]
