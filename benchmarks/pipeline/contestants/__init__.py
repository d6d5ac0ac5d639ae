"""Programs that read the same topics from the same broker, each in a process of its own.

Each prints one line of JSON: records handled, CPU and wall seconds from the first chunk to the last record.
They take: BOOTSTRAP TOPICS RECORDS REDIS_URL, topics joined by commas.
"""
