"""The Kafka edge: chunk transport, worker, topics, publisher, alert stream. Only this knows Faust."""
