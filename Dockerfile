FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.lock LICENSE README.md ./
RUN python -m venv /opt/monitor && /opt/monitor/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY monitor monitor
RUN /opt/monitor/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 monitor
COPY --from=build /opt/monitor /opt/monitor
ENV PATH=/opt/monitor/bin:$PATH PYTHONUNBUFFERED=1 MONITOR_CONFIG=/etc/monitor/monitor.yaml
USER monitor
WORKDIR /home/monitor
ENTRYPOINT ["monitor"]
CMD ["run"]
