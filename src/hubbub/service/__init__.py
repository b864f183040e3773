"""The hubbub service: `Service` runs one inside your own event loop.

    async with Service(Settings(port=0)) as service:
        print(service.url)
"""
