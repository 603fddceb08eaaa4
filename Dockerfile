FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY relu_audit ./relu_audit
# Bytecode is compiled here, for a third of the size: the user of the image could not keep any, and every start would
# take three times as long.
RUN python -m venv --without-pip /opt/relu-audit \
    && pip --python /opt/relu-audit install --no-cache-dir --disable-pip-version-check .

FROM python:3.13-slim
COPY --from=build /opt/relu-audit /opt/relu-audit
ENV PATH="/opt/relu-audit/bin:$PATH"
USER 10001:10001
WORKDIR /work
ENTRYPOINT ["relu-audit"]
CMD ["--help"]
