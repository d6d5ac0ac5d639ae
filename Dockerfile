FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml LICENSE README.md ./
COPY monitor monitor
RUN python -m venv /opt/monitor && /opt/monitor/bin/pip install --no-cache-dir '.[parquet]'

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 monitor
COPY --from=build /opt/monitor /opt/monitor
ENV PATH=/opt/monitor/bin:$PATH PYTHONUNBUFFERED=1 MONITOR_CONFIG=/etc/monitor/monitor.yaml
USER monitor
WORKDIR /home/monitor
ENTRYPOINT ["monitor"]
CMD ["run"]
