"""Pictures between two given ones, made by Kontext: series.py is the use case; ends, asked, scored and path are what it
does with two pictures, one request, one answer and all answers."""
