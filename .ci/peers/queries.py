"""Ten questions that analysts ask of the shop (workload.py), in SQL that PostgreSQL and Presto both understand.

`compare` asks both, and holds if they answer the same rows. Presto reads the lake as Glue tells of it (sql.py).
"""
import concurrent.futures
import json

from compare import Failure, identical

QUERIES = {
    "joined": """
        select o.region, count(*) as n, sum(l.price) as total from orders o join lines l on l.order_id = o.id group by o.region""",
    "joined_to_nothing": """
        select o.region, count(*) as n, count(l.line) as matched, min(l.product) as first from orders o
        left join lines l on l.order_id = o.id and l.price > 100 group by o.region""",
    "by_year": """
        select cast(extract(year from changed) as integer) as year, count(*) as n, min(amount) as least, max(amount) as most from orders
        where changed >= timestamp '1900-01-01 00:00:00' and changed < timestamp '2100-01-01 00:00:00' group by 1""",
    "having": """
        select kind, sum(value) as total, count(*) as n from events group by kind having count(*) > 1 and sum(value) > 3""",
    "distinct": """
        select distinct region, amount is null as unpriced, amount > 100 as dear from orders""",
    "ranked": """
        select * from (select id, region, rank() over (partition by region order by amount desc, id) as place,
                              sum(amount) over (partition by region order by id) as up_to_here from orders where amount is not null) as r
        where place <= 5""",
    "decimals": """
        select region, sum(amount) as total, sum(amount * 3) as thrice, sum(case when amount < 0 then -amount else amount end) as absolute
        from orders group by region""",
    "nulls": """
        select mood, day is null as dayless, coalesce(words, 'none') as words, count(*) as n, max(small) as small, count(flag) as flagged,
               count(later) as later, count(case when r8 < 1 then 1 end) as low, cardinality(tags) as tags
        from kinds group by mood, day is null, coalesce(words, 'none'), cardinality(tags)""",
    "some_partitions": """
        select id, amount from orders where region in ('östlich', 'far west') and id % 3 = 0""",
    "not_there": """
        select count(*) as n, sum(length(body)) as letters, count(distinct title) as titles from papers p
        where not exists (select 1 from lines l where l.order_id = p.id) and body is not null""",
}


def compare(engine, sessions):
    """Raises a Failure where an answer differs; returns how many rows there were. As many are asked at once as there are sessions."""
    names, free = sorted(QUERIES), list(sessions)

    def ask(name):
        session = free.pop()
        try:
            rows = of_database(session, QUERIES[name])
            identical(rows, of_engine(engine, QUERIES[name]))
            return len(rows)
        except Failure as e:
            raise Failure(f"{name} (-: the database, +: {engine.name}): {e}") from e
        finally:
            free.append(session)

    with concurrent.futures.ThreadPoolExecutor(len(free)) as pool:
        return sum(pool.map(ask, names))


def of_database(session, query):
    rows = session.run(f"select row_to_json(answer) from ({' '.join(query.split())}) as answer")
    return sorted(_line(json.loads(text, parse_float=str)) for text in rows)


def of_engine(engine, query):
    columns, rows = engine.ask(query)
    return sorted(_line(dict(zip((name for name, _ in columns), row))) for row in rows)


def _line(row):
    """Numbers are text: the two disagree on which of them have a fraction."""
    plain = lambda v: v if v is None or isinstance(v, bool) else str(v)
    return json.dumps({name: plain(value) for name, value in row.items()}, sort_keys=True, ensure_ascii=False)
