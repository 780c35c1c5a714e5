"""Everything goes wrong on a real Apache Kafka, and every number is checked afterwards."""
